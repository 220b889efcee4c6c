"""A truth of points: read by class, and painted onto the network's grid; all else is unlabelled."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from client.data.check import class_table
from client.data.points_table import read_points
from client.data.volumes import Affine
from shared.study import Task
from shared.unlabelled import UNLABELLED

OFF_CENTRE = 1e-6  # voxels: below it, two ways of computing a tie give one result


def points_by_class(path: Path, shape: tuple[int, int, int], task: Task) -> npt.NDArray[np.int64]:
    """Return (points, 4): voxel indices x, y, z on a grid of `shape`, and the class index (0 background).

    Raises
    ------
    CaseError
        As `read_points`; `label_values` also for a value that the task does not name.
    """
    known = sorted({0, *(value for group in task.label_values for value in group)})
    points = read_points(path, shape, known=known)
    points[:, 3] = class_table(task, known[-1] + 1)[points[:, 3]]
    return points


def painted(
    points: npt.NDArray[np.int64],
    affine: Affine,
    onto: Affine,
    shape: tuple[int, ...],
    classes: int,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Mark the voxel nearest to each point on another grid; all other voxels are UNLABELLED.

    Where two points meet, the higher class stands.

    Parameters
    ----------
    points : (points, 4), see `read_points`; `affine` (4, 4) is that of their grid
    onto, shape : the other grid

    Returns
    -------
    label (X, Y, Z) uint8, and how many points of each class lie outside it, (classes,) int64
    """
    ordered = points[np.argsort(points[:, 3], kind="stable")]
    across = np.linalg.inv(onto) @ affine
    positions = ordered[:, :3] @ across[:3, :3].T + across[:3, 3]
    nearest = np.floor(np.round(positions / OFF_CENTRE) * OFF_CENTRE + 0.5).astype(np.int64)
    inside = ((nearest >= 0) & (nearest < shape)).all(axis=1)
    label = np.full(shape, UNLABELLED, np.uint8)
    for voxel, index in zip(nearest[inside], ordered[inside, 3], strict=True):
        label[tuple(voxel)] = index
    outside = np.bincount(ordered[~inside, 3], minlength=classes + 1)[1:]
    return label, outside.astype(np.int64)
