"""Which DICOM series lie in a folder: their identifiers, read within bounds and without voxels.

What says who the patient is comes into memory to tell patients apart, and goes no further than
`Series.person`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pydicom

from client.data.formats.base import judged, unsupported
from client.data.formats.dicom_file import SEGMENTATION
from client.data.formats.streams import plain
from client.data.limits import Limits
from shared.errors import CaseError

TAGS = (
    "SOPClassUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
    "StudyDate",
    "PatientID",
    "IssuerOfPatientID",
    "SeriesDescription",
    "Modality",
    "Rows",
    "ReferencedSeriesSequence",
)
DIRECTORY = "1.2.840.10008.1.3.10"  # DICOMDIR, a table of contents


@dataclass(eq=False)
class Series:
    """One series, or one segmentation; `person` is never to be shown."""

    uid: str
    study: str
    date: str
    frame: str
    person: tuple[str, str] | None = field(repr=False)
    description: str
    modality: str
    is_image: bool
    is_segmentation: bool
    refers_to: tuple[str, ...]
    files: list[Path] = field(default_factory=list)

    @property
    def folders(self) -> list[Path]:
        """Folders that its files lie in, sorted."""
        return sorted({path.parent for path in self.files})


def indexed(files: Sequence[Path]) -> tuple[list[Series], list[tuple[Path, CaseError]]]:
    """Group files by series, in the order of the files; a segmentation file is a series of its own.

    Also the files that cannot be read. A table of contents (DICOMDIR) is passed over.
    """
    found: dict[tuple[str, Path | None], Series] = {}
    broken = []
    for path in files:
        try:
            with judged(path):
                series = _read(path)
        except CaseError as error:
            broken.append((path, error))
            continue
        if series is not None:
            key = (series.uid, path if series.is_segmentation or not series.is_image else None)
            found.setdefault(key, series).files.append(path)
    return list(found.values()), broken


def _read(path: Path) -> Series | None:
    with plain(path) as (stream, size):
        bounded = _Bounded(stream, size, path)
        dataset = pydicom.dcmread(bounded, stop_before_pixels=True, specific_tags=list(TAGS))
    sop_class = str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or "")
    if sop_class == DIRECTORY:
        return None
    if not (uid := str(dataset.get("SeriesInstanceUID") or "")):
        raise CaseError("unreadable", f"{path} has no SeriesInstanceUID. Export it again or remove it.")
    patient = str(dataset.get("PatientID") or "").strip()
    return Series(
        uid=uid,
        study=str(dataset.get("StudyInstanceUID") or ""),
        date=str(dataset.get("StudyDate") or ""),
        frame=str(dataset.get("FrameOfReferenceUID") or ""),
        person=(str(dataset.get("IssuerOfPatientID") or "").strip(), patient) if patient else None,
        description=str(dataset.get("SeriesDescription") or ""),
        modality=str(dataset.get("Modality") or ""),
        is_image="Rows" in dataset or "Image Storage" in pydicom.uid.UID(sop_class).name,
        is_segmentation=sop_class in SEGMENTATION,
        refers_to=tuple(
            str(item.get("SeriesInstanceUID", "")) for item in dataset.get("ReferencedSeriesSequence") or ()
        ),
    )


class _Bounded:
    """A file that never gives more than it has, and no more before its voxels than the limits allow."""

    def __init__(self, stream: BinaryIO, size: int, path: Path) -> None:
        self._stream, self._size, self._path = stream, size, path
        self._left = Limits().max_offset
        self.name = ""

    def read(self, size: int | None = None, /) -> bytes:
        if size is None or size < 0:  # pydicom reads a file to its end only in order to inflate it
            raise unsupported(self._path, "a deflated DICOM data set", "Explicit VR Little Endian")
        content = self._stream.read(max(min(size, self._size - self._stream.tell()), 0))
        self._left -= len(content) + 1
        if self._left < 0:
            raise CaseError("too_large", f"{self._path} has too much before its voxels. Export it again.")
        return content

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        """Leave the file open: who opened it closes it."""
