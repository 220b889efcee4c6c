"""Percentiles, mean and spread of all intensities of an image, exactly and soon."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

MOST_LEVELS = 2**16
Channel = npt.NDArray[np.float32]


class Voxels(Protocol):
    """Intensities without their places, in whatever form answers these questions soonest."""

    @property
    def count(self) -> int:
        """Number of voxels."""

    def percentiles(self, *percents: float) -> tuple[float, ...]:
        """Interpolate linearly between the two nearest ranks, as NumPy does."""

    def above(self, bound: float) -> "Voxels":
        """Only what is larger."""

    def mean_and_std(self) -> tuple[float, float]:
        """Mean and standard deviation, in float64."""

    def range(self) -> tuple[float, float]:
        """Lowest and highest."""


def voxels_of(channel: Channel) -> Voxels:
    """Take all intensities of an image (X, Y, Z) without NaN: counted if they are whole numbers."""
    low, high = float(channel.min()), float(channel.max())
    if high - low < min(MOST_LEVELS, channel.size // 4) and abs(low) < 2**24:
        counts = np.zeros(int(high - low) + 1, np.int64)
        for plane in _as_stored(channel):
            whole = plane.astype(np.int64)
            if not (whole == plane).all():
                break
            whole -= int(low)
            counts += np.bincount(whole.ravel(order="K"), minlength=len(counts))
        else:
            found = np.flatnonzero(counts)
            return Counted(np.asarray(found + low, np.float64), counts[found])
    return Listed(_as_stored(channel).ravel(order="K"))


@dataclass(frozen=True, eq=False)
class Counted:
    """Different values in ascending order, (n,), and how many voxels have each, (n,)."""

    values: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]

    @property
    def count(self) -> int:
        """Number of voxels."""
        return int(self.counts.sum())

    def percentiles(self, *percents: float) -> tuple[float, ...]:
        """See `Voxels`."""
        up_to = self.counts.cumsum()
        return _between_ranks(
            lambda rank: float(self.values[np.searchsorted(up_to, rank, side="right")]), self.count, percents
        )

    def above(self, bound: float) -> "Counted":
        """See `Voxels`."""
        first = int(np.searchsorted(self.values, bound, side="right"))
        return Counted(self.values[first:], self.counts[first:])

    def mean_and_std(self) -> tuple[float, float]:
        """See `Voxels`."""
        mean = float(self.values @ self.counts) / self.count
        return mean, float(np.sqrt((self.values - mean) ** 2 @ self.counts / self.count))

    def range(self) -> tuple[float, float]:
        """See `Voxels`."""
        return float(self.values[0]), float(self.values[-1])


@dataclass(frozen=True, eq=False)
class Listed:
    """One value a voxel, (n,) float32, in any order."""

    values: npt.NDArray[np.float32]

    @property
    def count(self) -> int:
        """Number of voxels."""
        return self.values.size

    def percentiles(self, *percents: float) -> tuple[float, ...]:
        """See `Voxels`."""
        needed = {rank for percent in percents for rank in _ranks(percent, self.count)[:2]}
        ranked = np.partition(self.values, sorted(needed))  # several times sooner than sorting
        return _between_ranks(lambda rank: float(ranked[rank]), self.count, percents)

    def above(self, bound: float) -> "Listed":
        """See `Voxels`."""
        return Listed(self.values[self.values > np.float32(bound)])

    def mean_and_std(self) -> tuple[float, float]:
        """See `Voxels`."""
        return float(self.values.mean(dtype=np.float64)), float(self.values.std(dtype=np.float64))

    def range(self) -> tuple[float, float]:
        """See `Voxels`."""
        return float(self.values.min()), float(self.values.max())


def _ranks(percent: float, count: int) -> tuple[int, int, float]:
    """Return the two ranks around a percentile, and where it lies between them."""
    position = percent / 100 * (count - 1)
    low = int(position)
    return low, min(low + 1, count - 1), position - low


def _between_ranks(
    ranked: Callable[[int], float], count: int, percents: tuple[float, ...]
) -> tuple[float, ...]:
    around = [_ranks(percent, count) for percent in percents]
    return tuple(ranked(low) + (ranked(high) - ranked(low)) * share for low, high, share in around)


def _as_stored(channel: Channel) -> Channel:
    """Turn an array so that its first axis is the slowest in memory: places do not matter here."""
    return channel.T if abs(channel.strides[0]) < abs(channel.strides[-1]) else channel
