"""The scan itself for the viewer: one channel as a NIfTI file that says nothing but voxels and their place.

It is made from the files that the network read, when somebody first opens the scan, and kept in a folder of
bounded size; the one that nobody has opened for longest goes first. Memory holds one scan, while it is made.
"""

import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from client.data.importing.canonical import nifti_header
from client.data.limits import Limits
from client.predict.source import SourceFiles
from shared.files import private_folder, write_atomically

FOLDER = "pages"
MOST_BYTES = 4 * 10**9
SLAB_BYTES = 2**22

_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Volumes:
    """The files made so far."""

    folder: Path
    most_bytes: int = MOST_BYTES

    def image(self, source: SourceFiles, channel: str, limits: Limits) -> Path:
        """Return the file of one channel, uncompressed: on loopback that is sooner than unpacking.

        Raises
        ------
        CaseError
            As `SourceFiles.volume`.
        """
        path = self.folder / f"{_name(source, channel)}.nii"
        with _one_at_a_time:
            if path.exists():
                os.utime(path)  # somebody opened it now
                return path
            volume = source.volume(channel, limits)
            private_folder(self.folder)
            with write_atomically(path, private=True, durable=False) as temporary:
                _write(temporary, volume.array, volume.affine)
            self._make_room(path)
        return path

    def _make_room(self, keep: Path) -> None:
        """Remove the files that were opened longest ago until the others fit."""
        files = sorted(self.folder.glob("*.nii"), key=lambda file: file.stat().st_mtime, reverse=True)
        left = self.most_bytes - keep.stat().st_size
        for file in files:
            if file != keep:
                left -= file.stat().st_size
                if left < 0:
                    file.unlink(missing_ok=True)


def _name(source: SourceFiles, channel: str) -> str:
    """Call a file by what it is made of."""
    parts = (sorted(source.sha256.items()), source.components, source.channels, channel)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _write(path: Path, array: npt.NDArray[np.generic], affine: npt.NDArray[np.float64]) -> None:
    """Write (X, Y, Z) in slabs: the voxels in NIfTI's order are never in memory all at once."""
    little = array.dtype.newbyteorder("<")
    slices = max(1, SLAB_BYTES // max(1, array[..., 0].nbytes))
    with path.open("wb") as file:
        file.write(nifti_header(array.astype(little, copy=False), affine))
        for first in range(0, array.shape[2], slices):
            file.write(array[..., first : first + slices].astype(little).tobytes(order="F"))
