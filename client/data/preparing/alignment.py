"""Where the slices of a scan lie among those of the grid that was prepared from it."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from client.data.volumes import Affine
from shared.errors import CaseError

OFF_CENTRE = 1e-6  # voxels: below it, two ways of computing a tie give one result
OFF_AXIS = 1e-4  # voxels across the whole grid


@dataclass(frozen=True, eq=False)
class Alignment:
    """Prepared index = `start` + `step` * the scan's index, per axis of the prepared grid.

    `along[axis]` is the scan's axis that runs along that one, `shape` the scan's; `step` is negative where
    the two run against each other.
    """

    along: tuple[int, int, int]
    start: tuple[float, float, float]
    step: tuple[float, float, float]
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, prepared_affine: Affine, shape: tuple[int, int, int], affine: Affine) -> Self:
        """Compare the prepared grid with the scan's own, of `shape` and `affine`.

        Raises
        ------
        CaseError
            `affine_mismatch`: the grids are turned against each other by more than flips and swaps of axes,
            so that one was not made from the other.
        """
        across = np.linalg.inv(prepared_affine) @ affine
        steps = across[:3, :3]
        x, y, z = np.abs(steps).argmax(axis=1).tolist()
        others = steps.copy()
        others[range(3), [x, y, z]] = 0
        if sorted([x, y, z]) != [0, 1, 2] or (np.abs(others) @ shape > OFF_AXIS).any():
            raise CaseError(
                "affine_mismatch",
                f"the mask lies at {np.asarray(prepared_affine).tolist()}, the scan at "
                f"{np.asarray(affine).tolist()}, expected parallel axes. Give the scan of which the mask is.",
            )
        step = (float(steps[0, x]), float(steps[1, y]), float(steps[2, z]))
        start = (float(across[0, 3]), float(across[1, 3]), float(across[2, 3]))
        return cls((x, y, z), start, step, shape)

    def nearest(self, axis: int) -> npt.NDArray[np.intp]:
        """Find the prepared index nearest to each of the scan's slices; it may lie outside the grid."""
        positions = self.start[axis] + self.step[axis] * np.arange(self.shape[self.along[axis]])
        return np.floor(np.round(positions / OFF_CENTRE) * OFF_CENTRE + 0.5).astype(np.intp)

    def scan_index(self, axis: int, prepared: float) -> int:
        """Which of the scan's slices lies nearest to a prepared one; the outermost for those beyond."""
        index = round((prepared - self.start[axis]) / self.step[axis])
        return min(max(index, 0), self.shape[self.along[axis]] - 1)

    def in_view(self, axis: int, size: int) -> tuple[int, int]:
        """First and last of the `size` prepared slices whose middle lies in the scan's field of view."""
        last = self.shape[self.along[axis]] - 1
        faces = sorted(self.start[axis] + self.step[axis] * index for index in (-0.5, last + 0.5))
        return max(0, int(np.ceil(faces[0] - OFF_CENTRE))), min(
            size - 1, int(np.floor(faces[1] + OFF_CENTRE))
        )
