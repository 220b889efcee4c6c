"""Medical histories, and the stated logistic model by which phantom patients turn out to be urgent.

    logit P(urgent) = intercept + sum of coefficient * (transform(feature) - centre) / scale

over `TERMS`, with `TRUE_COEFFICIENTS`. A study that fits the same terms can be checked against these numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.special import expit

from shared.priority import coefficient_names, design_matrix
from shared.study import Term

TERMS: tuple[Term, ...] = (
    Term(feature="finding_probability", label="finding"),
    Term(feature="volume_ml", transform="log1p", label="volume", unit="ml"),
    Term(feature="finding_count", label="findings"),
    Term(feature="age", centre=60, scale=10, unit="years"),
    Term(feature="prior_cancer", label="prior cancer"),
    Term(feature="symptom_score", centre=5, label="symptom score"),
    Term(feature="days_since_last_scan", scale=365, label="since last scan", unit="days"),
)

TRUE_COEFFICIENTS: dict[str, float] = {
    "intercept": -3.0,
    "finding_probability": 1.0,
    "volume_ml": 1.2,
    "finding_count": 0.3,
    "age": 0.3,
    "prior_cancer": 0.9,
    "symptom_score": 0.35,
    "days_since_last_scan": 0.2,
}

HISTORY_COLUMNS = ("age", "sex", "prior_cancer", "symptom_score", "days_since_last_scan")
MISSING_SHARE = 0.02


@dataclass(frozen=True)
class History:
    """Age in years, sex, prior cancer 0/1, symptom score 0..10, days since the last scan."""

    age: int
    sex: Literal["F", "M"]
    prior_cancer: int
    symptom_score: int
    days_since_last_scan: int


@dataclass(frozen=True)
class Burden:
    """Total tumour volume (ml) and number of separate tumours in one scan."""

    tumour_ml: float
    tumour_count: int


def measure_burden(label: npt.NDArray[np.uint8], spacing_mm: tuple[float, float, float]) -> Burden:
    """Measure a label (X, Y, Z): voxels that touch, even at a corner, are one tumour."""
    _, count = ndimage.label(label, structure=np.ones((3, 3, 3)))
    millilitres = float(np.count_nonzero(label) * np.prod(spacing_mm) / 1000)
    return Burden(tumour_ml=millilitres, tumour_count=int(count))


def draw_history(rng: np.random.Generator) -> History:
    """Draw one patient's history; it does not depend on the scan."""
    return History(
        age=int(np.clip(round(rng.normal(62, 14)), 18, 95)),
        sex="F" if rng.random() < 0.5 else "M",
        prior_cancer=int(rng.random() < 0.25),
        symptom_score=int(rng.integers(0, 11)),
        days_since_last_scan=round(rng.gamma(2, 180)),
    )


def true_features(history: History, burden: Burden) -> dict[str, float]:
    """Return the value of every feature in `TERMS`, with a perfect network's outputs."""
    return {
        "finding_probability": float(burden.tumour_count > 0),
        "volume_ml": burden.tumour_ml,
        "finding_count": float(burden.tumour_count),
        "age": float(history.age),
        "prior_cancer": float(history.prior_cancer),
        "symptom_score": float(history.symptom_score),
        "days_since_last_scan": float(history.days_since_last_scan),
    }


def true_probability(features: Mapping[str, float]) -> float:
    """Probability 0..1 that a patient with these features is urgent, by `TERMS` and `TRUE_COEFFICIENTS`."""
    coefficients = [TRUE_COEFFICIENTS[name] for name in coefficient_names(TERMS)]
    return float(expit(design_matrix(TERMS, [features])[0] @ coefficients))


def draw_urgent(rng: np.random.Generator, probability: float) -> int:
    """Draw the outcome: 1 with `probability`, else 0."""
    return int(rng.random() < probability)


def recorded(rng: np.random.Generator, history: History) -> dict[str, str]:
    """Return the history as text, as the hospital wrote it down: `MISSING_SHARE` of the values are empty."""
    missing = rng.random(len(HISTORY_COLUMNS)) < MISSING_SHARE
    return {
        column: "" if absent else str(getattr(history, column))
        for column, absent in zip(HISTORY_COLUMNS, missing, strict=True)
    }
