"""One scan in memory: its voxels, and where they lie in the patient."""

from dataclasses import dataclass
from typing import Any, TypeVar

import nibabel as nib
import numpy as np
import numpy.typing as npt

Affine = npt.NDArray[np.float64]
RGB = ("red", "green", "blue")
"""Components of a colour image, in order."""
Voxel = TypeVar("Voxel", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Volume:
    """One scan: `array` and `affine` (4, 4) float64, voxel index to RAS+ world in mm.

    `array` is float32, or integers of at most 16 bits as a file holds them: half the memory, and float32
    holds each of them exactly. It is (X, Y, Z); an image of C > 1 numbers a voxel, such as RGB, is
    (C, X, Y, Z), the order in which modalities are stacked as well. A 2-D image has Z = 1.
    """

    array: npt.NDArray[Any]
    affine: Affine

    @property
    def shape(self) -> tuple[int, int, int]:
        """(X, Y, Z), without components."""
        x, y, z = self.array.shape[-3:]
        return x, y, z


def to_ras(volume: Volume) -> Volume:
    """Flip and swap axes so that indices grow towards right, anterior and superior; no voxel changes value.

    An oblique scan keeps its small rotation: the axes become those nearest to RAS.
    """
    affine = volume.affine @ nib.orientations.inv_ornt_aff(orientation(volume.affine), volume.shape)
    if volume.array.ndim == 3:
        return Volume(array_to_ras(volume.array, volume.affine), affine)
    return Volume(np.stack([array_to_ras(part, volume.affine) for part in volume.array]), affine)


def array_to_ras(array: npt.NDArray[Voxel], affine: Affine) -> npt.NDArray[Voxel]:
    """Flip and swap the axes of any (X, Y, Z) array on the grid of `affine`, as `to_ras` does."""
    turned: npt.NDArray[Voxel] = nib.orientations.apply_orientation(array, orientation(affine))
    return np.ascontiguousarray(turned)


def spacing_mm(affine: Affine) -> npt.NDArray[np.float64]:
    """Return the distance between neighbouring voxel centres along each array axis, (3,) in mm."""
    spacing: npt.NDArray[np.float64] = np.linalg.norm(affine[:3, :3], axis=0)
    return spacing


def orientation(affine: Affine) -> npt.NDArray[np.float64]:
    """(3, 2): the world axis nearest to each array axis, and 1 or -1 for its direction."""
    orientation: npt.NDArray[np.float64] = nib.orientations.io_orientation(affine)
    return orientation
