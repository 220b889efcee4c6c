"""What the network found in one scan, as masks on the grid of the scan's files, and as NIfTI."""

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from client.data.importing.canonical import nifti_header
from client.data.preparing.restore import restore
from client.data.volumes import Affine
from client.findings import Findings

MOST = np.iinfo(np.uint16).max
GZIP_LEVEL = 1  # a mask is small at any level, and a reader waits


@dataclass(frozen=True, eq=False)
class Masks:
    """Masks on the scan's own grid (X, Y, Z).

    `classes` has class indices, `numbers` the number of each voxel's finding, both 0 where there is none;
    `percent` is the probability that it belongs to a finding.
    """

    classes: npt.NDArray[np.uint8]
    numbers: npt.NDArray[np.uint16]
    percent: npt.NDArray[np.uint8]

    @classmethod
    def of(
        cls, found: Findings, affine: Affine, source_shape: tuple[int, int, int], source_affine: Affine
    ) -> Self:
        """Bring findings on the prepared grid of `affine` back to that of the files."""
        numbers = np.where(found.components <= MOST, found.components, 0).astype(np.uint16)
        percent = np.rint(100 * np.clip(found.score, 0, 1)).astype(np.uint8)
        return cls(
            classes=restore(found.segmentation, affine, source_shape, source_affine),
            numbers=restore(numbers, affine, source_shape, source_affine),
            percent=restore(percent, affine, source_shape, source_affine),
        )


def write_mask(path: Path, mask: npt.NDArray[np.uint8 | np.float32], affine: Affine) -> None:
    """Write a mask or map (X, Y, Z) with `affine` (4, 4), index to RAS+ mm; equal masks make equal bytes."""
    with path.open("wb") as file, gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as packed:
        packed.write(nifti_header(mask, affine))
        packed.write(mask.tobytes(order="F"))
