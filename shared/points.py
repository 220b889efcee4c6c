"""Az: how well probabilities tell labelled points of a class from labelled points of background.

The score of VESSEL12 (Rudyanto et al., Medical Image Analysis 18 (2014), 1217-1232), whose dense truth does
not exist: the area under the ROC curve over the points of all scans. It crosses as two histograms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.errors import DataError
from shared.sums import FloatArray, IntArray, bin_index


@dataclass(frozen=True, eq=False)
class Points:
    """One scan's labelled points: `probability` (N,) of all classes together, 0..1, `positive` (N,) bool.

    Raises
    ------
    DataError
        The shapes differ.
    """

    probability: FloatArray
    positive: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        if np.ndim(self.positive) != 1 or np.shape(self.probability) != np.shape(self.positive):
            raise DataError(
                f"probability and positive must have one shape (N,), found {np.shape(self.probability)} and "
                f"{np.shape(self.positive)}. Read both at the same voxels."
            )


def point_sums(scans: Sequence[Points], *, bins: int) -> dict[str, IntArray]:
    """Histograms (bins,) over equal-width bins of probability: points of a class, points of background."""
    probability = np.concatenate([np.asarray(s.probability, dtype=np.float64) for s in scans])
    positive = np.concatenate([s.positive for s in scans])
    index = bin_index(probability, bins=bins)
    return {
        "point_positive": np.bincount(index[positive], minlength=bins),
        "point_negative": np.bincount(index[~positive], minlength=bins),
    }


def point_shapes(bins: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of `point_sums`, int64 counts."""
    return {"point_positive": (bins,), "point_negative": (bins,)}
