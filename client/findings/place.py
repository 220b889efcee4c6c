"""Where a finding lies: in the patient (mm, RAS), in the slices of the scan's files, at a border or not."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from client.data.preparing.alignment import Alignment
from client.data.volumes import Affine, orientation
from shared.sums import FloatArray

Side = Literal["left", "right", "midline"]
MOSTLY = 0.75
"""A finding lies on a side with at least this share of its voxels there, and in the midline otherwise."""
HEAD_TO_FOOT = 2
"""The axis of the world, and of a grid in RAS order, that axial slices are stacked along."""


@dataclass(frozen=True, eq=False)
class Place:
    """The prepared grid in the patient and beside the scan's own.

    affine : (4, 4), prepared voxel to mm; `shape` (3,) of that grid
    axial : its axis closest to head and foot: slices across it count as axial, also where they are oblique
    middle_mm : how far right the middle of the scan's field of view lies
    """

    affine: Affine
    shape: tuple[int, int, int]
    alignment: Alignment
    axial: int
    middle_mm: float

    @classmethod
    def of(
        cls,
        affine: Affine,
        shape: tuple[int, int, int],
        source_affine: Affine,
        source_shape: tuple[int, int, int],
    ) -> Self:
        """Take the affines (4, 4) and shapes of both grids; raises as `Alignment.of`."""
        middle = source_affine @ [*((np.array(source_shape) - 1) / 2), 1.0]
        axial = int(np.flatnonzero(orientation(affine)[:, 0] == HEAD_TO_FOOT)[0])
        alignment = Alignment.of(affine, source_shape, source_affine)
        return cls(affine, shape, alignment, axial, float(middle[0]))

    @property
    def plane(self) -> tuple[int, int]:
        """Both axes of an axial slice."""
        first, second = (axis for axis in range(3) if axis != self.axial)
        return first, second

    @property
    def slice_mm(self) -> float:
        """From one slice of the scan's own files to the next, at right angles to them."""
        normal = np.linalg.inv(self.affine)[self.axial, :3]
        return abs(self.alignment.step[self.axial]) / float(np.linalg.norm(normal))

    def mm(self, voxels: FloatArray) -> FloatArray:
        """Positions (n, 3) in voxels as positions in mm."""
        return voxels @ self.affine[:3, :3].T + self.affine[:3, 3]

    def slices(self, first: int, last: int) -> tuple[int, int]:
        """First and last slice of the files that prepared slices `first` to `last` are seen in.

        These are the slices in which `restore` draws them; for a finding that falls between two of them, the
        slice nearest to it.
        """
        nearest = self.alignment.nearest(self.axial)
        seen = np.flatnonzero((nearest >= first) & (nearest <= last))
        if not len(seen):
            seen = np.array([self.alignment.scan_index(self.axial, (first + last) / 2)])
        return int(seen[0]), int(seen[-1])

    def slice_of(self, prepared: int, within: tuple[int, int]) -> int:
        """Slice of the files nearest to a prepared one, of those from `within[0]` to `within[1]`."""
        return min(max(self.alignment.scan_index(self.axial, prepared), within[0]), within[1])

    def touches_border(self, first: npt.NDArray[np.intp], last: npt.NDArray[np.intp]) -> bool:
        """Whether a box of prepared voxels, `first` to `last` (3,), reaches the end of what was looked at.

        That is the box which the scan's field of view and the prepared grid have in common: the scan's own
        outer face, or the face at which the study cropped it. Across an axis of one slice there is none.
        """
        for axis, size in enumerate(self.shape):
            low, high = self.alignment.in_view(axis, size)
            if low < high and (first[axis] <= low or last[axis] >= high):
                return True
        return False

    @staticmethod
    def side(share_right: float, share_left: float) -> Side:
        """Tell the side from the shares of voxels on either side of the middle."""
        if share_right >= MOSTLY:
            return "right"
        return "left" if share_left >= MOSTLY else "midline"
