"""Bins of log-odds that are the same for every site: scores as counts that add up."""

import numpy as np
import numpy.typing as npt

from shared.errors import DataError
from shared.sums import FloatArray, IntArray

EDGES: FloatArray = np.arange(-80, 81) / 10
"""(161,), inner edges: bin k holds EDGES[k-1] <= log-odds < EDGES[k]; the first and the last are open."""
EDGES.setflags(write=False)

BINS = len(EDGES) + 1


def bin_of(log_odds: FloatArray) -> npt.NDArray[np.intp]:
    """Bin 0..BINS-1 of each log-odds, of any shape; raises DataError for what is not a number."""
    if np.any(np.isnan(log_odds)):
        raise DataError("found log-odds that are not numbers. Check the features for NaN.")
    return np.searchsorted(EDGES, log_odds, side="right")


def histogram(log_odds: FloatArray) -> IntArray:
    """Count log-odds (n,) into (BINS,) int64."""
    return np.bincount(bin_of(log_odds), minlength=BINS).astype(np.int64)


def lower_edge(bin_: int) -> float:
    """Lowest log-odds of a bin; -inf for the first."""
    return -np.inf if bin_ == 0 else float(EDGES[bin_ - 1])
