"""From a scan's features to its row of the design: what each coefficient is multiplied with."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import logit

from shared.calibration import INTERCEPT, is_intercept
from shared.errors import CaseError, ConfigError
from shared.study import Term
from shared.sums import FloatArray

Features = Mapping[str, float | None]

LOGIT_CLIP = 1e-4  # a network's 0 and 1 are saturation, not certainty
DOMAINS = {"identity": (-math.inf, math.inf), "log1p": (0, math.inf), "logit": (0, 1)}


def coefficient_names(terms: Sequence[Term]) -> tuple[str, ...]:
    """Names of the 1+D coefficients: the intercept, then each term's and, where it has one, its missing's.

    Raises
    ------
    ConfigError
        A feature is called like the intercept.
    """
    names = [name for term in terms for name in (term.name, term.missing_name) if name is not None]
    if wrong := [name for name in names if is_intercept(name)]:
        raise ConfigError(f"feature {wrong[0]!r} has the intercept's name. Rename the column.")
    return (INTERCEPT, *names)


def design_matrix(terms: Sequence[Term], features: Sequence[Features]) -> FloatArray:
    """Design (n, 1+D) of n scans, columns as `coefficient_names`.

    A term's column is (transform(value) - centre) / scale. A value that is absent, None, NaN or outside the
    plausible range becomes 0, which is what `centre` contributes, and 1 in the column of the missing.

    Raises
    ------
    CaseError
        ``feature_invalid``: a value that is infinite or outside 0.. for log1p, 0..1 for logit.
    """
    rows = [[1.0, *(x for term in terms for x in columns(term, row))] for row in features]
    return np.array(rows, dtype=np.float64).reshape(len(features), len(coefficient_names(terms)))


def usable_rows(terms: Sequence[Term], features: Sequence[Features]) -> list[bool]:
    """Tell of each scan whether `design_matrix` takes it; one bad value must not cost the others."""
    return [_is_usable(terms, row) for row in features]


def columns(term: Term, features: Features) -> list[float]:
    """Find one term's part of a row: the value, standardised, then 1 if it is missing and has a column."""
    value = believed(term, features)
    if term.missing_name is None:
        return [_standardised(term, value)]
    return [_standardised(term, value), float(value is None)]


def recorded(term: Term, features: Features) -> float | None:
    """Return what stands there; None for nothing and for NaN."""
    value = features.get(term.name)
    return None if value is None or math.isnan(value) else float(value)


def believed(term: Term, features: Features) -> float | None:
    """Return the value that counts: None also where it lies outside the plausible range."""
    value = recorded(term, features)
    return None if value is None or not term.believes(value) else value


def _is_usable(terms: Sequence[Term], row: Features) -> bool:
    try:
        design_matrix(terms, [row])
    except CaseError:
        return False
    return True


def _standardised(term: Term, value: float | None) -> float:
    if value is None:
        return 0.0
    lowest, highest = DOMAINS[term.transform]
    if math.isinf(value) or not lowest <= value <= highest:
        raise CaseError(
            "feature_invalid",
            f"{term.name} is {value}, expected a finite value in {lowest}..{highest} ({term.transform}). "
            "Correct the value or leave it empty.",
        )
    if term.transform == "log1p":
        value = math.log1p(value)
    elif term.transform == "logit":
        value = float(logit(min(max(value, LOGIT_CLIP), 1 - LOGIT_CLIP)))
    return (value - term.centre) / term.scale
