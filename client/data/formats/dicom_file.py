"""One DICOM file: its data set without the voxels, read by pydicom within bounds, and where the voxels lie.

pydicom would set aside whatever an element's length says and inflate a deflated file without end; the stream
that it is given here ends where the file ends, and sooner if the header is longer than the site allows.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import Dataset
from pydicom.filereader import read_partial

from client.data.formats.base import judged, unreadable, unsupported
from client.data.formats.streams import plain, start_of
from client.data.limits import Limits
from shared.errors import CaseError

SEGMENTATION = frozenset(
    {"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"}
)  # SEG, label map SEG
UNDEFINED = 0xFFFFFFFF
PIXEL_DATA = (0x7FE0, 0x0010)
SOP_CLASS = 0x00080016
# pydicom takes some 10 microseconds for an element, however empty: a header of 16 MiB could hold it up for
# most of a minute. An image has few elements, or many frames and so many bytes.
CALLS = 2**16
BYTES_A_CALL = 2**8
# All that the readers look at: nothing that says who the patient is comes into memory.
TAGS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "SegmentationType",
    "SegmentSequence",
    "ReferencedSeriesSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A data set without its voxels, which are `length` bytes from byte `offset`.

    `length` is None where the voxels are packed and end with a delimiter; `offset` is 0 without voxels.
    """

    path: Path
    dataset: Dataset
    syntax: str
    sop_class: str
    offset: int
    length: int | None


def is_dicom(path: Path) -> bool:
    """Whether a file has DICOM's magic."""
    return start_of(path, 132)[128:] == b"DICM"


def sop_class_of(path: Path) -> str:
    """Return what kind of object a DICOM file says it is, from its first bytes; empty if it does not say."""
    with judged(path), plain(path) as (stream, size):
        start = _Bounded(stream, size, path, Limits())
        dataset = read_partial(
            start,  # type: ignore[arg-type]  # it has all the methods that are called
            stop_when=lambda tag, _vr, _length: tag > SOP_CLASS,
        )
        return str(dataset.file_meta.get("MediaStorageSOPClassUID") or dataset.get("SOPClassUID") or "")


def opened_dicom(path: Path, limits: Limits, tags: Sequence[str] = TAGS) -> DicomFile:
    """Read a file up to its voxels: of its attributes `tags` alone.

    Raises
    ------
    CaseError
        `unreadable`, `unsupported_type` (deflated), `too_large` (a header beyond `limits.max_offset`). Other
        exceptions of pydicom come out as they are: the caller stands in `base.judged`.
    """
    with plain(path) as (stream, size):
        dataset = pydicom.dcmread(
            _Bounded(stream, size, path, limits),
            stop_before_pixels=True,
            specific_tags=list(tags),
        )
        syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
        if not syntax:
            raise unreadable(path, "it does not say how it is encoded (TransferSyntaxUID)")
        offset, length = _place_of_voxels(stream, syntax, path)
        if length is not None and offset + length > size:
            raise unreadable(path, f"its voxels are said to take {length} bytes, {size - offset} are left")
        sop_class = dataset.file_meta.get("MediaStorageSOPClassUID") or dataset.get("SOPClassUID") or ""
    return DicomFile(path, dataset, syntax, str(sop_class), offset, length)


def whole(dataset: Dataset, keyword: str, path: Path, default: int | None = None) -> int:
    """Return a whole number of the data set, or the default where it has none."""
    value = dataset.get(keyword)
    if value is None or value == "":
        if default is None:
            raise unreadable(path, f"it has no {keyword}")
        return default
    return int(value)


def numbers(dataset: Dataset, keyword: str, count: int, path: Path) -> npt.NDArray[np.float64]:
    """Return `count` finite numbers of the data set.

    Raises
    ------
    CaseError
        `bad_affine`: they are not there, not so many, or not finite.
    """
    value = dataset.get(keyword)
    found = [float(part) for part in _listed(value)]
    if len(found) != count or not all(math.isfinite(part) for part in found):
        raise CaseError(
            "bad_affine",
            f"{path} has {keyword} {found[:8]}, expected {count} finite number(s). Export it again.",
        )
    return np.array(found, np.float64)


def number(dataset: Dataset, keyword: str, path: Path, default: float) -> float:
    """Return one finite number, or the default where there is none."""
    if not _listed(dataset.get(keyword)):
        return default
    return float(numbers(dataset, keyword, 1, path)[0])


def _listed(value: Any) -> Sequence[Any]:
    if value is None or value == "":
        return ()
    return value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)


def _place_of_voxels(stream: BinaryIO, syntax: str, path: Path) -> tuple[int, int | None]:
    """Read the head of the element at which pydicom stopped."""
    order = ">" if syntax == pydicom.uid.ExplicitVRBigEndian else "<"
    head = stream.read(8)
    if len(head) < 8:
        return 0, 0
    if struct.unpack(order + "HH", head[:4]) != PIXEL_DATA:
        raise unsupported(path, "voxels that are not integers (or none)", "Pixel Data")
    if head[4:6] in {b"OB", b"OW", b"UN"}:
        head = head[:4] + stream.read(4)
        if len(head) < 8:
            raise unreadable(path, "it ends before its voxels")
    length = struct.unpack(order + "I", head[4:])[0]
    return stream.tell(), None if length == UNDEFINED else int(length)


class _Bounded:
    """A file that never gives more than it has, nor more than the site allows for a header."""

    def __init__(self, stream: BinaryIO, size: int, path: Path, limits: Limits) -> None:
        self._stream, self._size, self._path = stream, size, path
        self._most = self._left = limits.max_offset
        self._calls = CALLS + size // BYTES_A_CALL
        self.name = ""

    def read(self, size: int | None = None, /) -> bytes:
        if size is None or size < 0:  # pydicom reads a file to its end only in order to inflate it
            raise unsupported(self._path, "a deflated DICOM data set", "Explicit VR Little Endian")
        content = self._stream.read(max(min(size, self._size - self._stream.tell()), 0))
        self._left -= len(content)
        self._calls -= 1
        if self._left < 0 or self._calls < 0:
            raise CaseError(
                "too_large",
                f"{self._path} has more than {self._most} bytes before its voxels, or far more elements than "
                "an image of its size. Export it again.",
            )
        return content

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        """Leave the file open: who opened it closes it."""
