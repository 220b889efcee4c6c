"""Masks on a scan's own grid, as NIfTI."""

import gzip
from pathlib import Path

import numpy as np
import numpy.typing as npt

from client.data.importing.canonical import nifti_header
from client.data.volumes import Affine

GZIP_LEVEL = 1  # a mask is small at any level, and a reader waits


def write_mask(path: Path, mask: npt.NDArray[np.uint8], affine: Affine) -> None:
    """Write (X, Y, Z) with `affine` (4, 4), index to RAS+ world in mm; equal masks make equal bytes."""
    with path.open("wb") as file, gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as packed:
        packed.write(nifti_header(mask, affine))
        packed.write(mask.tobytes(order="F"))
