"""Percentiles, mean and spread of all intensities of an image, exactly and soon."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from client.data.preparing.memory import as_stored, box_above, parts

MOST_LEVELS = 2**16


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


def voxels_of(channel: npt.NDArray[Any]) -> Voxels:
    """Take all intensities of an image (X, Y, Z) without NaN: counted if they are whole numbers."""
    low, high = float(channel.min()), float(channel.max())
    stored = as_stored(channel)
    body = stored[box_above(stored, stored.min())]
    air = channel.size - body.size
    if low.is_integer() and high - low < min(MOST_LEVELS, channel.size // 4) and abs(low) < 2**24:
        counts = np.zeros(int(high - low) + 1, np.int64)
        counts[0] = air
        for (part,) in parts(0, body):
            whole = part.astype(np.int64, order="C")
            if channel.dtype.kind == "f" and not (whole == part).all():
                break
            whole -= int(low)
            counts += np.bincount(whole.reshape(-1), minlength=len(counts))
        else:
            found = np.flatnonzero(counts)
            return Counted(np.asarray(found + low, np.float64), counts[found])
    return Listed(body.astype(np.float32, copy=False).ravel(), air, low)


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
    """One value a voxel, (n,) float32, in any order, and `air` further voxels of the `lowest` value."""

    values: npt.NDArray[np.float32]
    air: int = 0
    lowest: float = 0.0

    @property
    def count(self) -> int:
        """Number of voxels."""
        return self.values.size + self.air

    def percentiles(self, *percents: float) -> tuple[float, ...]:
        """See `Voxels`."""
        ranks = {rank - self.air for percent in percents for rank in _ranks(percent, self.count)[:2]}
        ranked = self.values
        if needed := sorted(rank for rank in ranks if rank >= 0):
            ranked = np.partition(ranked, needed)  # several times sooner than sorting
        return _between_ranks(
            lambda rank: self.lowest if rank < self.air else float(ranked[rank - self.air]),
            self.count,
            percents,
        )

    def above(self, bound: float) -> "Listed":
        """See `Voxels`."""
        air = self.air if self.lowest > np.float32(bound) else 0
        return Listed(self.values[self.values > np.float32(bound)], air, self.lowest)

    def mean_and_std(self) -> tuple[float, float]:
        """See `Voxels`."""
        mean = (self.values.sum(dtype=np.float64) + self.air * self.lowest) / self.count
        apart = self.values - mean  # in float64
        apart *= apart
        std = np.sqrt((apart.sum() + self.air * (self.lowest - mean) ** 2) / self.count)
        return float(mean), float(std)

    def range(self) -> tuple[float, float]:
        """See `Voxels`."""
        values = [self.lowest] if self.air else []
        if self.values.size:
            values += [float(self.values.min()), float(self.values.max())]
        return min(values), max(values)


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
