"""From the study's common grid back to the grid of the scan: the way back of preprocess.py, for masks."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from client.data.preparing.alignment import Alignment
from client.data.volumes import Affine

Voxel = TypeVar("Voxel", bound=np.generic)


def restore(
    mask: npt.NDArray[Voxel], prepared_affine: Affine, shape: tuple[int, int, int], affine: Affine
) -> npt.NDArray[Voxel]:
    """Return the mask on the scan's own grid: each voxel as the nearest of the mask, 0 outside it.

    Parameters
    ----------
    mask : (X, Y, Z) on the prepared grid
    prepared_affine : (4, 4), of `Prepared`
    shape, affine : of the scan as its file has it

    Raises
    ------
    CaseError
        `affine_mismatch`: see `Alignment.of`.
    """
    alignment = Alignment.of(prepared_affine, shape, affine)
    result = mask
    for axis in range(3):
        nearest = alignment.nearest(axis)
        inside = (nearest >= 0) & (nearest < mask.shape[axis])
        result = result.take(np.where(inside, nearest, 0), axis)
        result[(*[slice(None)] * axis, ~inside)] = 0
    return np.ascontiguousarray(result.transpose(np.argsort(alignment.along)))
