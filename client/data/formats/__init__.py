"""One file format a file behind one interface; `formats.read` picks the one that recognises a path.

To add a format: write a class that satisfies `base.Format`, add it to FORMATS, and give the contract suite in
tests/client/data/formats good samples of it.
"""

from pathlib import Path

import numpy as np

from client.data.formats.analyze import Pair
from client.data.formats.base import Format, Header, unreadable
from client.data.formats.dicom_seg import DicomSeg
from client.data.formats.dicom_series import DicomSeries
from client.data.formats.metaimage import MetaImage
from client.data.formats.nifti import Nifti
from client.data.formats.tiff import Tiff
from client.data.limits import Limits
from client.data.volumes import Volume

# DICOM before TIFF: a DICOM file may begin with a TIFF header, and still be judged as DICOM.
FORMATS: tuple[Format, ...] = (Nifti(), Pair(), DicomSeg(), DicomSeries(), MetaImage(), Tiff())
SUFFIXES = tuple(suffix for known in FORMATS for suffix in known.suffixes)
DEFAULT = Limits()

__all__ = [
    "DEFAULT",
    "FORMATS",
    "SUFFIXES",
    "Format",
    "Header",
    "Limits",
    "find",
    "header",
    "read",
    "read_narrow",
]


def find(path: Path) -> Format:
    """Return the format whose content `path` has, or else the one that its name promises.

    Raises
    ------
    CaseError
        `unreadable`: neither the content nor the name is of a known format.
    """
    for known in FORMATS:
        if known.recognises(path):
            return known
    # The format that the name promises says best what is missing from the content.
    promised = [(len(end), known) for known in FORMATS for end in known.suffixes if _ends(path, end)]
    if promised:
        return max(promised, key=lambda found: found[0])[1]
    names = ", ".join(known.name for known in FORMATS)
    raise unreadable(path, f"it is of none of the formats read here ({names})")


def header(path: Path, limits: Limits = DEFAULT) -> Header:
    """Judge the header of a file, or of a folder that holds one DICOM series, without reading a voxel.

    Raises
    ------
    CaseError
        See `base.checked_shape`, `base.checked_affine` and the format.
    """
    return find(path).header(path, limits)


def read(path: Path, limits: Limits = DEFAULT) -> Volume:
    """Read one volume: exactly what its header declares, decoded once, scaled, float32, with its RAS+ affine.

    Raises
    ------
    CaseError
        See `header`; also where the voxels are not what the header declares.
    """
    volume = read_narrow(path, limits)
    return Volume(volume.array.astype(np.float32, copy=False), volume.affine)


def read_narrow(path: Path, limits: Limits = DEFAULT) -> Volume:
    """Read one volume as `read` does, but leave small integers as they are stored; see `Volume`."""
    return find(path).read(path, limits)


def _ends(path: Path, suffix: str) -> bool:
    return path.name.lower().endswith(suffix)
