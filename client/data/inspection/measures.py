"""What is measured of voxels: intensities, a digest of the picture, counts of label values."""

import hashlib

import nibabel as nib
import numpy as np
import numpy.typing as npt

from client.data.inspection.facts import Intensity
from client.data.volumes import Affine, spacing_mm

PERCENTILES = (0.5, 50, 99.5)
SAMPLED = 2**20  # voxels that percentiles are taken of


def intensity_of(values: npt.NDArray[np.float32]) -> Intensity | None:
    """Measure the finite voxels of one channel, of any shape; None if there are none."""
    flat = values.ravel(order="K")
    if not np.isfinite(flat).all():
        flat = flat[np.isfinite(flat)]
    if flat.size == 0:
        return None
    lowest, highest = float(flat.min()), float(flat.max())
    if flat.size > SAMPLED:
        # At random and not every nth: a step that divides a side would see some columns only.
        flat = flat[np.random.default_rng(0).integers(flat.size, size=SAMPLED)]
    low, middle, high = np.percentile(flat, PERCENTILES).tolist()
    return Intensity(lowest=lowest, p0_5=low, p50=middle, p99_5=high, highest=highest)


def pixel_digest(values: npt.NDArray[np.float32], affine: Affine) -> str:
    """Return the SHA-256 of (X, Y, Z) voxels in RAS order and the spacing along those axes to four digits."""
    turn = nib.orientations.io_orientation(affine)
    turned = nib.orientations.apply_orientation(values, turn)
    spacing = spacing_mm(affine)[np.argsort(turn[:, 0])]
    total = hashlib.sha256(f"{turned.shape} {[f'{side:.4g}' for side in spacing]}".encode())
    for index in range(turned.shape[2]):  # a slab at a time: the view is not copied whole
        slab = np.ascontiguousarray(turned[:, :, index].T) + np.float32(0)  # -0 is 0
        total.update(slab.data)
    return total.hexdigest()


def counts_of(values: npt.NDArray[np.int32]) -> list[tuple[int, int]]:
    """Return each value that occurs and its count, a slab at a time: bincount takes 64 bits a voxel."""
    counts = np.zeros(int(values.max()) + 1, np.int64)
    for index in range(values.shape[2]):
        counts += np.bincount(values[:, :, index].ravel(order="K"), minlength=len(counts))
    return [(value, int(counts[value])) for value in np.flatnonzero(counts).tolist()]
