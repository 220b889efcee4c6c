"""Isotonic calibration from counts per bin: the best rising step function of the score.

Sites count positives and negatives in the fixed bins of shared/score_bins.py. Pool-adjacent-violators (Ayer
et al. 1955) on these counts is the isotonic fit of all sites' rows with the order within each bin forgotten.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression
from scipy.special import logit, xlog1py, xlogy

from shared.calibration import seen
from shared.recalibration import Recalibration
from shared.reliability import binary
from shared.score_bins import BINS, bin_of
from shared.sums import FloatArray, IntArray, Sums


def class_counts(
    raw: FloatArray,
    outcome: npt.NDArray[np.generic],
    *,
    fold: npt.NDArray[np.integer],
    fits: int,
) -> Sums:
    """Count one site's rows by outcome and bin of the raw log-odds (n,), for each of `fits` sets of patients.

    Set j leaves out fold j. The sums are ``positives`` and ``negatives`` (fits, BINS), int64.
    """
    y, place = binary(outcome) == 1, bin_of(np.asarray(raw, dtype=np.float64))
    sees = seen(fold, np.arange(fits))
    return Sums(
        {
            name: np.stack([np.bincount(place[rows & own], minlength=BINS) for own in sees.T])
            for name, rows in (("positives", y), ("negatives", ~y))
        }
    )


def count_shapes(fits: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of `class_counts`; int64 counts."""
    return {"positives": (fits, BINS), "negatives": (fits, BINS)}


def isotonic(positives: IntArray, negatives: IntArray) -> Recalibration:
    """Fit log-odds per bin to counts (BINS,).

    One positive is imagined below all scores and one negative above (Laplace's rule at both ends; Vovk's
    Venn-Abers predictors imagine the same), so that no probability is 0 or 1 and the map still rises. A bin
    that saw nobody gets the value of the nearest below it that saw somebody, or of the lowest of all.
    """
    up = np.concatenate([[1], positives, [0]]).astype(np.float64)
    down = np.concatenate([[0], negatives, [1]]).astype(np.float64)
    seen_bins = np.flatnonzero(up + down)
    rates = _rising(up[seen_bins], down[seen_bins])
    below = np.searchsorted(seen_bins, np.arange(1, BINS + 1), side="right") - 1
    values = np.maximum.accumulate(logit(rates))  # equal rates may differ by a rounding
    return Recalibration(kind="isotonic", parameters=tuple(values[below].tolist()))


def bin_bound(positives: IntArray, negatives: IntArray) -> float:
    """How much lower, per row, the log loss of the isotonic fit on the rows themselves can be at most.

    The order within a bin that is kindest to the fit on rows has all its negatives before all its
    positives, the least kind is what the bins assume. What lies between is the price of bins, counted without
    the imagined ends. It is in nats; 0 where no bin holds both outcomes.
    """
    total = int(np.sum(positives) + np.sum(negatives))
    if total == 0:
        return 0.0
    parted_up = np.column_stack([np.zeros_like(positives), positives]).ravel().astype(np.float64)
    parted_down = np.column_stack([negatives, np.zeros_like(negatives)]).ravel().astype(np.float64)
    coarse = _loss(positives.astype(np.float64), negatives.astype(np.float64))
    return max(0.0, coarse - _loss(parted_up, parted_down)) / total


def _rising(up: FloatArray, down: FloatArray) -> FloatArray:
    total = up + down
    return np.asarray(isotonic_regression(up / total, weights=total, increasing=True).x)


def _loss(up: FloatArray, down: FloatArray) -> float:
    some = up + down > 0
    up, down = up[some], down[some]
    p = np.clip(_rising(up, down), 0, 1)
    return float(-np.sum(xlogy(up, p) + xlog1py(down, -p)))
