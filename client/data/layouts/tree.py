"""All visible files of a data folder, and which of them look like scans.

A layout chooses among them; whatever looks like a scan and was not chosen is told by name (pairing.py).
Links out of the folder are not followed: a downloaded data set may not lead to other files of this machine.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from client.data.formats import SUFFIXES
from client.data.formats.dicom_file import is_dicom
from client.data.formats.streams import start_of
from shared.errors import DataError

VOXELS = (".img", ".img.gz", ".raw", ".raw.gz", ".zraw")
"""Endings of files that a header of another name explains."""
UNREAD = (".nrrd", ".nhdr", ".mgz", ".mgh", ".mnc", ".png", ".jpg", ".jpeg", ".bmp", ".jp2", ".svs", ".npy")
"""Endings of pictures and volumes that no format here reads."""
DATA_FILE = re.compile(rb"^\s*ElementDataFile\s*=\s*(.+?)\s*$", re.MULTILINE)
HEADER_BYTES = 2**16
SYSTEM_FOLDERS = frozenset({"__MACOSX"})
_ENDINGS = sorted({*SUFFIXES, *VOXELS, *UNREAD}, key=len, reverse=True)


def stem(name: str) -> str:
    """Drop a scan's ending from a file name; other dots belong to the case (`a.b.nii.gz`: `a.b`)."""
    return name[: len(name) - len(ending(name))]


def ending(name: str) -> str:
    """Return the longest ending of scans that `name` has, as it is written; "" if it has none."""
    low = name.lower()
    length = next((len(end) for end in _ENDINGS if low.endswith(end) and len(low) > len(end)), 0)
    return name[len(name) - length :]


@dataclass(frozen=True)
class Tree:
    """Visible files of `folder` in sorted order, and the links that were not followed.

    Hidden names are left out: macOS leaves a `._x.nii.gz` beside each `x.nii.gz` that it copies.
    """

    folder: Path
    files: tuple[Path, ...]
    refused: tuple[Path, ...]

    @classmethod
    def of(cls, folder: Path) -> "Tree":
        """List a folder and the folders in it; links to folders are never entered.

        Raises
        ------
        DataError
            A folder that may not be listed: what lies in it would go missing without a word.
        """
        files: list[Path] = []
        refused: list[Path] = []
        for path in _walk(folder):
            if path.is_symlink() and not (path.is_file() and path.resolve().is_relative_to(folder.resolve())):
                refused.append(path)
            else:
                files.append(path)
        return cls(folder, tuple(sorted(files)), tuple(sorted(refused)))

    @cached_property
    def scans(self) -> tuple[Path, ...]:
        """Files that look like scans: by their ending, or by DICOM's magic where the ending says nothing.

        Voxels that a header beside them explains are part of it and not listed.
        """
        return tuple(path for path in self.files if self._looks_like_a_scan(path))

    @cached_property
    def scan_paths(self) -> frozenset[Path]:
        """All scans, and all folders that directly hold one."""
        return frozenset(self.scans) | {path.parent for path in self.scans}

    @cached_property
    def readable(self) -> tuple[Path, ...]:
        """Scans whose format is read here."""
        return tuple(path for path in self.scans if ending(path.name).lower() not in {*UNREAD, *VOXELS})

    def relative(self, path: Path) -> str:
        """Return the path from the folder on, with slashes."""
        return path.relative_to(self.folder).as_posix()

    def within(self, *names: str) -> list[Path]:
        """Return the readable scans that lie directly in a folder of one of these names, whatever its case.

        The folder must be at the top.
        """
        return [
            path
            for path in self.readable
            if path.parent.parent == self.folder and path.parent.name.casefold() in names
        ]

    def __contains__(self, path: Path) -> bool:
        return path in self._known

    @cached_property
    def _known(self) -> frozenset[Path]:
        return frozenset(self.files)

    def _looks_like_a_scan(self, path: Path) -> bool:
        end = ending(path.name).lower()
        if end in VOXELS:
            return not self._has_header(path)
        return bool(end) or is_dicom(path)

    def _has_header(self, path: Path) -> bool:
        bare = stem(path.name)
        for header in (".hdr", ".hdr.gz", ".mhd", ".nhdr"):
            if path.with_name(bare + header) in self or path.with_name(bare + header.upper()) in self:
                return True
        return path.name in self._named_by_headers.get(path.parent, ())

    @cached_property
    def _named_by_headers(self) -> dict[Path, set[str]]:
        """Names in `ElementDataFile` of the MetaImage headers, by folder."""
        found: dict[Path, set[str]] = {}
        for path in self.files:
            if path.name.lower().endswith(".mhd"):
                names = DATA_FILE.findall(start_of(path, HEADER_BYTES))
                found.setdefault(path.parent, set()).update(name.decode(errors="replace") for name in names)
        return found


def _walk(folder: Path) -> Iterator[Path]:
    """All visible files and links below a folder."""
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error}. Give the right to read it.") from error
    for path in entries:
        if path.name.startswith(".") or path.name in SYSTEM_FOLDERS:
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        else:
            yield path
