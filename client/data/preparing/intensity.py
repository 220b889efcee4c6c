"""From stored intensities to network input: what is foreground, and what is subtracted and divided by.

Every figure is exact: percentiles come from all voxels, ranked or counted by value, never from a sample.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from client.data.preparing.memory import box_above, parts
from client.data.preparing.voxels import Voxels, voxels_of
from shared.errors import CaseError
from shared.study import Intensity

Z_LIMIT = 5.0
NORMAL_IQR = 1.349  # interquartile range of the standard normal distribution


@dataclass(frozen=True)
class Scaling:
    """How one channel is normalised: (value - shift) / divisor within `limits`.

    Foreground is above `bound`. `found` are the figures that the record of steps shows. Where `shift` and
    `divisor` are NumPy's, the computation is in float64.
    """

    shift: float | np.float64
    divisor: float | np.float64
    limits: tuple[float, float]
    bound: float
    found: Mapping[str, float]

    def apply(
        self, channel: npt.NDArray[Any], onto: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the normalised channel, C-contiguous; or write it onto another array of its shape."""
        result = np.empty(channel.shape, np.float32) if onto is None else onto
        lowest = channel.min()
        body = box_above(channel, lowest)
        if result[body].size < result.size:
            result.fill(self._of(np.array([lowest])).item())
        # In the result z is fastest. Parts along an axis that is the fastest in neither are turned soonest.
        across = 1 if abs(channel.strides[0]) < abs(channel.strides[2]) else 0
        for part, normalised in parts(across, channel[body], result[body]):
            normalised[...] = self._of(part)
        return result

    def _of(self, part: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Normalise, in the part's own order in memory."""
        values = np.subtract(part.astype(np.float32), self.shift)
        np.divide(values, self.divisor, out=values)
        return np.clip(values, *self.limits, out=values).astype(np.float32, copy=False)


def foreground(channel: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Mark voxels above minimum + 1 % of the range between the 0.5th and 99.5th percentile, same shape.

    The percentiles keep one very bright voxel from making the whole body background. In a crop without
    background practically every voxel passes.
    """
    mask: npt.NDArray[np.bool_] = channel > np.float32(_air(voxels_of(channel)))
    return mask


def scaling(channel: npt.NDArray[Any], intensity: Intensity, *, name: str) -> Scaling:
    """Find how one channel (X, Y, Z) is normalised.

    Raises
    ------
    CaseError
        `empty_image`: no foreground, or all of it equal.
    """
    if intensity.kind == "ct_window":
        low, high = intensity.low_hu, intensity.high_hu
        if not channel.max() > low:
            raise CaseError(
                "empty_image",
                f"{name}: no voxel is above {low} HU, found at most {float(channel.max())}. "
                "Is it a CT in Hounsfield units?",
            )
        return Scaling(low, high - low, (0.0, 1.0), low, {"low_hu": low, "high_hu": high})
    voxels = voxels_of(channel)
    bound = _air(voxels)
    body = voxels.above(bound)
    low, high = body.range() if body.count else (0.0, 0.0)
    if low == high:
        raise CaseError(
            "empty_image", f"{name}: {body.count} voxels of foreground, all equal. Was it exported whole?"
        )
    found = {"above": bound, "low": low, "high": high}
    shift, divisor = mean, std = body.mean_and_std()
    if intensity.kind == "robust_zscore":
        shift, first, third = body.percentiles(50, 25, 75)
        divisor = (third - first) / NORMAL_IQR or std  # half of the foreground may be one value
        found |= {"median": shift, "divisor": divisor}
    else:
        found |= {"mean": mean, "std": std}
    return Scaling(np.float64(shift), np.float64(divisor), (-Z_LIMIT, Z_LIMIT), bound, found)


def _air(voxels: Voxels) -> float:
    """Find the largest value that is still background; see `foreground`."""
    lowest, low, high = voxels.percentiles(0, 0.5, 99.5)
    return float(np.float32(lowest + 0.01 * (high - low)))
