"""From features to a score, a tier and its reasons: a reason is a term of the score, nothing else.

log_odds = intercept + sum over terms of coefficient * (transform(value) - centre) / scale.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.special import expit, logit

from shared.calibration import INTERCEPT, Fit, is_intercept
from shared.config import Config
from shared.errors import CaseError, ConfigError
from shared.study import Term, Tiers
from shared.sums import FloatArray

Tier = Literal["routine", "urgent", "asap", "stat"]
Features = Mapping[str, float | None]

LOGIT_CLIP = 1e-4  # a network's 0 and 1 are saturation, not certainty


@dataclass(frozen=True)
class Reason:
    """One term of the score: what was seen (None: not recorded) and what it added, in log-odds."""

    feature: str
    label: str
    value: float | None
    unit: str
    contribution: float
    text: str


@dataclass(frozen=True)
class Priority:
    """One scan's place in the queue.

    `math.fsum([intercept, *contributions])` equals `log_odds` exactly, in any order: the reasons are the
    whole score. They are sorted by the size of their contribution, largest first.
    """

    probability: float
    log_odds: float
    tier: Tier
    intercept: float
    reasons: tuple[Reason, ...]


def coefficient_names(terms: Sequence[Term]) -> tuple[str, ...]:
    """Names of the 1+T coefficients: the intercept, then the features; ConfigError if one is so called."""
    features = [term.feature for term in terms]
    if wrong := [feature for feature in features if is_intercept(feature)]:
        raise ConfigError(f"feature {wrong[0]!r} has the intercept's name. Rename the column.")
    return (INTERCEPT, *features)


def design_matrix(terms: Sequence[Term], features: Sequence[Features]) -> FloatArray:
    """Design (n, 1+T) of n scans: ones, then each term's (transform(value) - centre) / scale.

    A value that is absent, None or NaN becomes 0, which is what `centre` contributes.

    Raises
    ------
    CaseError
        ``feature_invalid``: a value that is infinite or outside 0.. for log1p, 0..1 for logit.
    """
    rows = [[1.0, *(_standardised(term, _value(term, row)) for term in terms)] for row in features]
    return np.array(rows, dtype=np.float64).reshape(len(features), 1 + len(terms))


def prioritise(
    terms: Sequence[Term], coefficients: Sequence[float] | FloatArray, features: Features, tiers: Tiers
) -> Priority:
    """Score one scan with `coefficients` (1+T,), intercept first.

    Raises
    ------
    ConfigError
        Another number of coefficients than 1+T.
    CaseError
        As `design_matrix`.
    """
    if len(coefficients) != 1 + len(terms):
        raise ConfigError(f"found {len(coefficients)} coefficients, expected {1 + len(terms)}")
    intercept, *slopes = (float(c) for c in coefficients)
    reasons = [_reason(t, slope, _value(t, features)) for t, slope in zip(terms, slopes, strict=True)]
    log_odds = math.fsum([intercept, *(r.contribution for r in reasons)])
    probability = float(expit(log_odds))
    return Priority(
        probability=probability,
        log_odds=log_odds,
        tier=tier_of(probability, tiers),
        intercept=intercept,
        reasons=tuple(sorted(reasons, key=lambda r: -abs(r.contribution))),
    )


def tier_of(probability: float, tiers: Tiers) -> Tier:
    """FHIR request priority of a calibrated probability; each bound belongs to the tier above it."""
    if probability >= tiers.stat:
        return "stat"
    if probability >= tiers.asap:
        return "asap"
    return "urgent" if probability >= tiers.urgent else "routine"


def reading_order(priorities: Mapping[str, Priority]) -> list[str]:
    """Case names, most probably urgent first; equal probabilities by case name."""
    return sorted(priorities, key=lambda case: (-priorities[case].probability, case))


class CalibratedPriority(Config):
    """The fitted score as it is stored beside the model; `model_dump_json` writes it, `parse` reads it."""

    terms: tuple[Term, ...]
    coefficients: dict[str, float] = Field(
        description="log-odds; intercept, or intercept[site] for each site"
    )
    standard_errors: dict[str, float]
    tiers: Tiers
    patients: int = Field(ge=1, description="patients of all sites that the fit saw")
    study: str = Field(description="digest of the study it was fitted under")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        slopes = [name for name in self.coefficients if not is_intercept(name)]
        if slopes != [term.feature for term in self.terms] or len(slopes) == len(self.coefficients):
            raise ValueError(
                f"coefficients must be intercepts, then one per term, found {list(self.coefficients)}"
            )
        if list(self.standard_errors) != list(self.coefficients):
            raise ValueError("standard_errors must name the same coefficients in the same order")
        return self

    @classmethod
    def from_fit(cls, fit: Fit, *, terms: Sequence[Term], tiers: Tiers, study: str) -> Self:
        """Keep a fit for use; `study` is the study's digest."""
        errors = np.sqrt(np.maximum(0, np.diag(fit.covariance)))
        return cls(
            terms=tuple(terms),
            coefficients=dict(zip(fit.names, fit.coefficients.tolist(), strict=True)),
            standard_errors=dict(zip(fit.names, errors.tolist(), strict=True)),
            tiers=tiers,
            patients=fit.patients,
            study=study,
        )

    def coefficients_at(self, site: str | None = None) -> FloatArray:
        """Coefficients (1+T,) at a site: its own intercept where the fit has one per site.

        Raises
        ------
        ConfigError
            The fit has an intercept per site, and none for this one.
        """
        own = f"{INTERCEPT}[{site}]"
        name = INTERCEPT if INTERCEPT in self.coefficients else own
        if name not in self.coefficients:
            known = [n for n in self.coefficients if is_intercept(n)]
            raise ConfigError(
                f"no {own} was fitted, only {known}. Calibrate with this site, or without site_intercept."
            )
        return np.array([self.coefficients[n] for n in (name, *coefficient_names(self.terms)[1:])])

    def prioritise(self, features: Features, site: str | None = None) -> Priority:
        """Score one scan at a site; raises as `coefficients_at` and `design_matrix`."""
        return prioritise(self.terms, self.coefficients_at(site), features, self.tiers)


def _value(term: Term, features: Features) -> float | None:
    value = features.get(term.feature)
    return None if value is None or math.isnan(value) else float(value)


def _standardised(term: Term, value: float | None) -> float:
    if value is None:
        return 0.0
    lowest, highest = {"identity": (-math.inf, math.inf), "log1p": (0, math.inf), "logit": (0, 1)}[
        term.transform
    ]
    if math.isinf(value) or not lowest <= value <= highest:
        raise CaseError(
            "feature_invalid",
            f"{term.feature} is {value}, expected a finite value in {lowest}..{highest} ({term.transform}). "
            "Correct the value or leave it empty.",
        )
    if term.transform == "log1p":
        value = math.log1p(value)
    elif term.transform == "logit":
        value = float(logit(min(max(value, LOGIT_CLIP), 1 - LOGIT_CLIP)))
    return (value - term.centre) / term.scale


def _reason(term: Term, slope: float, value: float | None) -> Reason:
    contribution = slope * _standardised(term, value)
    label = term.label or term.feature
    shown = "not recorded" if value is None else f"{_plain(value)} {term.unit}".strip()
    return Reason(
        term.feature, label, value, term.unit, contribution, f"{label} {shown}: {contribution:+z.2f}"
    )


def _plain(value: float) -> str:
    return f"{value:z.1f}".removesuffix(".0") if abs(value) >= 1 else f"{value + 0.0:.2g}"
