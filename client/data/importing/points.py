"""Labelled points turned to RAS with their image, and written."""

import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

from client.data.volumes import Affine
from shared.files import write_atomically


def points_to_ras(
    points: npt.NDArray[np.int64], affine: Affine, shape: tuple[int, int, int]
) -> npt.NDArray[np.int64]:
    """Move the points (n, 4) of a grid to the same voxels after its axes were turned to RAS."""
    turn = nib.orientations.io_orientation(affine)
    turned = points.copy()
    for axis, (target, direction) in enumerate(turn.astype(int)):
        places = points[:, axis]
        turned[:, target] = places if direction > 0 else shape[axis] - 1 - places
    return turned


def write_points(path: Path, points: npt.NDArray[np.int64]) -> str:
    """Write them in one step, in their order; return the SHA-256 of the file."""
    content = "".join(",".join(map(str, point)) + "\n" for point in points.tolist()).encode()
    with write_atomically(path) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()
