"""Which voxels are one finding, and which are too few to be any."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

TOUCHING = np.ones((3, 3, 3))
"""Voxels that touch at a corner are one finding: 26 neighbours."""
ROUNDING = 1e-9  # of a volume: a finding of exactly the smallest size is one on an oblique grid too


def components(
    mask: npt.NDArray[np.bool_], *, voxel_ml: float, minimum_ml: float
) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Give the connected parts of `mask` (X, Y, Z) numbers from the largest on, which is 1; the rest is 0.

    Parts below `minimum_ml` are left out. Of parts of one size the first along the array is first. The type
    is the smallest that holds the numbers.
    """
    parts, count = ndimage.label(mask, structure=TOUCHING)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    large = np.flatnonzero((sizes > 0) & (sizes * voxel_ml >= minimum_ml * (1 - ROUNDING)))
    ordered = large[np.argsort(-sizes[large], kind="stable")]
    number = np.zeros(count + 1, np.min_scalar_type(len(ordered)))
    number[ordered] = np.arange(1, len(ordered) + 1)
    numbered: npt.NDArray[np.unsignedinteger[Any]] = number[parts]
    return numbered
