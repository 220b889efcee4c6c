"""One scan's score, tier and reasons. A reason is a term of the score, nothing else."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit

from shared.errors import ConfigError
from shared.metrics import Z_95
from shared.priority.design import Features, believed, coefficient_names, columns, design_matrix, recorded
from shared.recalibration import Recalibration
from shared.study import Term, Tiers
from shared.sums import FloatArray
from shared.words import said

Tier = Literal["routine", "urgent", "asap", "stat"]


@dataclass(frozen=True)
class Reason:
    """One term of the score: what was seen (None: nothing to go by) and what it added, in log-odds."""

    feature: str
    label: str
    value: float | None
    unit: str
    contribution: float
    text: str


@dataclass(frozen=True)
class Priority:
    """One scan's place in the queue.

    `math.fsum([intercept, calibration, *contributions])` equals `log_odds` exactly, in any order: the reasons
    are the whole score. They are sorted by the size of their contribution, largest first.

    `low` and `high` are the ends of the 95 % interval of the probability that the fit's own uncertainty gives
    at these features; the calibration map is taken as known. `missing` names, by label, what was not recorded
    or not believed.
    """

    probability: float
    low: float
    high: float
    log_odds: float
    tier: Tier
    intercept: float
    calibration: float
    reasons: tuple[Reason, ...]
    missing: tuple[str, ...]


def prioritise(
    terms: Sequence[Term],
    coefficients: Sequence[float] | FloatArray,
    features: Features,
    tiers: Tiers,
    *,
    recalibration: Recalibration | None = None,
    covariance: FloatArray | None = None,
) -> Priority:
    """Score one scan.

    The interval is found in the score's log-odds, where the estimate is nearly normal: x b +- 1.96
    sqrt(x' V x), the delta method. The map and the logistic curve only rise, so its ends go through them as
    they are.

    Parameters
    ----------
    coefficients, covariance
        (1+D,) and (1+D, 1+D), as `coefficient_names`; without a covariance the interval is a point.
    recalibration
        The map from the score's log-odds to calibrated ones; None leaves them.

    Raises
    ------
    ConfigError
        Another number of coefficients than 1+D.
    CaseError
        As `design_matrix`.
    """
    names = coefficient_names(terms)
    if len(coefficients) != len(names):
        raise ConfigError(f"found {len(coefficients)} coefficients, expected {len(names)}")
    by_name = dict(zip(names, (float(c) for c in coefficients), strict=True))
    intercept = by_name[names[0]]
    reasons = [_reason(term, by_name, features) for term in terms]
    contributions = [r.contribution for r in reasons]
    raw = math.fsum([intercept, *contributions])
    row = design_matrix(terms, [features])[0]
    variance = 0.0 if covariance is None else max(0.0, float(row @ covariance @ row))
    half = Z_95 * math.sqrt(variance)
    mapping = recalibration or Recalibration()
    low, mapped, high = (float(z) for z in mapping.log_odds(np.array([raw - half, raw, raw + half])))
    added = mapped - raw
    log_odds = math.fsum([intercept, added, *contributions])
    probability = float(expit(log_odds))
    return Priority(
        probability=probability,
        low=min(probability, float(expit(low))),
        high=max(probability, float(expit(high))),
        log_odds=log_odds,
        tier=tier_of(probability, tiers),
        intercept=intercept,
        calibration=added,
        reasons=tuple(sorted(reasons, key=lambda r: -abs(r.contribution))),
        missing=tuple(r.label for r in reasons if r.value is None),
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


def _reason(term: Term, coefficients: Mapping[str, float], features: Features) -> Reason:
    standardised, *missing = columns(term, features)
    contribution = coefficients[term.name] * standardised
    if missing and term.missing_name is not None:
        contribution += coefficients[term.missing_name] * missing[0]  # one of the two is 0
    value = believed(term, features)
    label = term.label or (term.feature if term.level is None else f"{term.feature} {term.level}")
    text = f"{label} {_shown(term, features)}: {contribution:+z.2f}"
    return Reason(term.name, label, value, term.unit, contribution, text)


def _shown(term: Term, features: Features) -> str:
    value = recorded(term, features)
    told = said(value, term.unit, flag=term.is_flag)
    return told if value is None or term.believes(value) else f"{told} not plausible and not used"
