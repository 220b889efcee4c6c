"""From the study's common grid back to the grid of the scan: the way back of preprocess.py, for masks."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from client.data.volumes import Affine
from shared.errors import CaseError

Voxel = TypeVar("Voxel", bound=np.generic)
OFF_CENTRE = 1e-6  # voxels: below it, two ways of computing a tie give one result
OFF_AXIS = 1e-4  # voxels across the whole grid


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
        `affine_mismatch`: the grids are turned against each other by more than flips and swaps of axes, so
        that one was not made from the other.
    """
    across = np.linalg.inv(prepared_affine) @ affine
    steps, start = across[:3, :3], across[:3, 3]
    partner = np.abs(steps).argmax(axis=1)  # the scan's axis along which each axis of the mask runs
    others = steps.copy()
    others[range(3), partner] = 0
    if sorted(partner.tolist()) != [0, 1, 2] or (np.abs(others) @ shape > OFF_AXIS).any():
        raise CaseError(
            "affine_mismatch",
            f"the mask lies at {np.asarray(prepared_affine).tolist()}, the scan at "
            f"{np.asarray(affine).tolist()}, expected parallel axes. Give the scan of which the mask is.",
        )
    result = mask
    for axis, along in enumerate(partner.tolist()):
        positions = start[axis] + steps[axis, along] * np.arange(shape[along])
        nearest = np.floor(np.round(positions / OFF_CENTRE) * OFF_CENTRE + 0.5).astype(np.intp)
        inside = (nearest >= 0) & (nearest < mask.shape[axis])
        result = result.take(np.where(inside, nearest, 0), axis)
        result[(*[slice(None)] * axis, ~inside)] = 0
    return np.ascontiguousarray(result.transpose(np.argsort(partner)))
