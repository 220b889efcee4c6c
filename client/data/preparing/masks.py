"""A mask on the grid of the image that it was drawn on, whatever its own file knows of that grid."""

from pathlib import Path

import numpy as np

from client.data import formats
from client.data.formats.dicom_seg import DicomSeg, read_on
from client.data.formats.tiff import Tiff
from client.data.volumes import Volume


def read_mask(path: Path, grid: formats.Header | Volume, limits: formats.Limits = formats.DEFAULT) -> Volume:
    """Read a label or a region for an image with the shape and affine of `grid`.

    A DICOM SEG, which holds the slices with findings only, is laid onto the grid. A TIFF knows no place: of a
    picture and its mask one may state a resolution and the other none, so that a mask of the picture's shape
    takes the picture's. Any other mask keeps its own grid, which the caller has to compare (check.py).

    Raises
    ------
    CaseError
        As the reader of the format.
    """
    found = formats.find(path)
    if found.name == DicomSeg.name:
        return read_on(path, limits, grid=grid)
    mask = found.read(path, limits)
    flat = mask.array.shape == tuple(grid.shape) and grid.shape[2] == 1
    if found.name == Tiff.name and flat and _turned_alike(mask, grid):
        return Volume(mask.array, grid.affine)
    return mask


def _turned_alike(mask: Volume, grid: formats.Header | Volume) -> bool:
    """Whether rows and columns run in the same directions, so that only lengths may differ."""
    return bool((np.sign(mask.affine[:3, :3]) == np.sign(grid.affine[:3, :3])).all())
