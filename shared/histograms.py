"""Histograms that add up: bins that are the same for everybody, so that no first look at the data is needed.

What is counted gives a histogram the same number of counts (`WHOLE`), whatever its size: a large scan does
not outweigh a small one, and a sum of whole numbers is exact in any order.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from shared.config import Config
from shared.sums import FloatArray, IntArray

WHOLE = 1_000_000
"""Counts that one patient gives one histogram; one voxel in a million still counts."""

AT_ONCE = 2**20
"""Values that are sorted into bins at once, so that a large scan needs little further memory."""


class Quantile(Config):
    """A quantile, interpolated within the bin from `low` to `high` that surely holds it."""

    value: float
    low: float
    high: float

    @property
    def roundest(self) -> float:
        """The value to as few digits as stay within the bin: 1 rather than 1.0088."""
        shorter = (float(f"{self.value:.{digits}g}") for digits in range(1, 17))
        return next((number for number in shorter if self.low <= number <= self.high), self.value)


@dataclass(frozen=True, eq=False)
class Bins:
    """Bins between `edges` (n + 1,), ascending: bin k holds edges[k] <= value < edges[k + 1].

    What lies outside counts in the first or the last bin. With `none` one more bin in front counts the zeros:
    what has nothing to be measured. No edge is a round number, so that a rounding error moves nothing.
    """

    edges: FloatArray
    none: bool = False

    @classmethod
    def decades(cls, first: int, last: int, *, to_a_decade: int, none: bool = False) -> Self:
        """Bins of equal width in the logarithm, around 10**first .. 10**last."""
        return cls(_magnitudes(first, last, to_a_decade), none)

    @classmethod
    def signed(cls, first: int, lowest: int, highest: int, *, to_a_decade: int) -> Self:
        """Bins as of `decades` on both sides of zero: to -10**lowest and 10**highest, one around zero."""
        below = -_magnitudes(first, lowest, to_a_decade)[::-1]
        return cls(np.concatenate([below, _magnitudes(first, highest, to_a_decade)]))

    def __len__(self) -> int:
        return len(self.edges) - 1 + self.none

    def count(self, values: npt.ArrayLike) -> IntArray:
        """Count finite values of any shape; (n,) int64, with `none` (n + 1,)."""
        flat, total = np.ravel(values), np.zeros(len(self), np.int64)
        for start in range(0, flat.size, AT_ONCE):
            some = flat[start : start + AT_ONCE].astype(np.float64)
            place = np.clip(np.searchsorted(self.edges, some, side="right") - 1, 0, len(self.edges) - 2)
            if self.none:
                place = np.where(some == 0, 0, place + 1)
            total += np.bincount(place, minlength=len(self))
        return total

    def quantile(self, counts: IntArray, fraction: float) -> Quantile | None:
        """Find the `fraction` quantile of `count`-ed values; zeros of a `none` bin are left out."""
        measured = counts[1:] if self.none else counts
        upto = np.cumsum(measured)
        if upto[-1] == 0:
            return None
        wanted = max(fraction * float(upto[-1]), 1.0)
        place = int(np.searchsorted(upto, wanted, side="left"))
        low, high = float(self.edges[place]), float(self.edges[place + 1])
        inside = (wanted - float(upto[place] - measured[place])) / float(measured[place])
        return Quantile(value=low + inside * (high - low), low=low, high=high)


def apportioned(counts: npt.ArrayLike) -> IntArray:
    """Scale counts (..., n) to the sum `WHOLE` along the last axis; where there are none, to none.

    Cumulative counts are rounded, so that a quantile moves by half a count at most and nothing is lost.
    """
    upto = np.cumsum(counts, axis=-1, dtype=np.int64)
    total = upto[..., -1:]
    scaled = (upto * WHOLE + total // 2) // np.maximum(total, 1)
    return np.diff(scaled, axis=-1, prepend=0)


def _magnitudes(first: int, last: int, to_a_decade: int) -> FloatArray:
    steps = np.arange(first * to_a_decade, last * to_a_decade + 2)
    edges: FloatArray = 10.0 ** ((steps - 0.5) / to_a_decade)
    return edges
