"""A zip that is not trusted, unpacked within bounds: whole and plain, or refused by name.

Refused are names that lead out of the folder, links and other things that are no files, entries that claim
one place, share bytes or are encrypted, and archives that would unpack to far more than they are.
"""

import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from shared.errors import DataError

MOST_ENTRIES = 200_000
MOST_DIRECTORY_BYTES = 2**24  # of the list of entries: zipfile takes some hundred bytes of memory for each
MOST_RATIO = 200  # of the whole; one label of zeros alone reaches a thousand
SMALL_BYTES = 2**26  # below this much a ratio says nothing
CHUNK = 2**20
LONGEST_COMMENT = 2**17  # all that zipfile reads to the end: a comment, at most 2**16 bytes
ENCRYPTED = 0x1
PACKED_AS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # the others may ask for gigabytes to be unpacked
LONGEST_PART = 255  # bytes of one name on common file systems
LONGEST_NAME = 1024
SHOWN = 100


@contextmanager
def unpacked(archive: Path, folder: Path, *, most_bytes: int | None = None) -> Iterator[Path]:
    """Unpack into `folder`, which is removed before and after; yield the folder that holds the data set.

    A single folder at the top of the archive is entered. `most_bytes` bounds all files together.

    Raises
    ------
    DataError
        The archive is no sound zip, or is refused; see the text above.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _unpack_all(archive, folder, most_bytes)
        top = folder
        while len(inner := [path for path in top.iterdir() if not _beside(path)]) == 1 and inner[0].is_dir():
            top = inner[0]
        yield top
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack_all(archive: Path, folder: Path, most_bytes: int | None) -> None:
    try:
        folder.mkdir(parents=True)
        with archive.open("rb") as raw:
            try:
                with zipfile.ZipFile(_Bounded(raw, archive)) as opened:
                    entries = _judged(opened.infolist(), archive, folder, most_bytes)
                    for place, entry in entries.items():
                        _unpack(opened, entry, folder / place, archive)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
                raise _refused(archive, f"it cannot be unpacked: {error}") from error
    except OSError as error:
        raise DataError(f"{archive} cannot be unpacked into {folder}: {error}. Make room there.") from error


class _Bounded:
    """A file that refuses to give a list of entries that is too long: zipfile reads that at once."""

    def __init__(self, raw: IO[bytes], archive: Path) -> None:
        self._raw, self._archive = raw, archive
        self.seek, self.tell, self.seekable = raw.seek, raw.tell, raw.seekable

    def read(self, size: int = -1, /) -> bytes:
        if size > MOST_DIRECTORY_BYTES:
            raise _refused(self._archive, f"its list of entries has {size} bytes, too many")
        return self._raw.read(LONGEST_COMMENT if size < 0 else size)


def _judged(
    entries: list[zipfile.ZipInfo], archive: Path, folder: Path, most_bytes: int | None
) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Return the files of the archive by their place in the folder."""
    files: dict[PurePosixPath, zipfile.ZipInfo] = {}
    folders: set[PurePosixPath] = set()
    if len(entries) > MOST_ENTRIES:
        raise _refused(archive, f"it has {len(entries)} entries, expected at most {MOST_ENTRIES}")
    for entry in entries:
        place = _place(entry, archive)
        folders |= set(place.parents)
        if entry.is_dir():
            folders.add(place)
        elif place in files:
            raise _refused(archive, f"{_shown(entry)} is in it twice")
        else:
            files[place] = entry
    if both := folders & files.keys():
        raise _refused(archive, f"{min(both)} is in it as a file and as a folder")
    packed = sum(entry.compress_size for entry in files.values())
    size, total = archive.stat().st_size, sum(entry.file_size for entry in files.values())
    if packed > size:
        raise _refused(archive, f"its entries claim {packed} bytes of {size}: they share some")
    if total > max(SMALL_BYTES, MOST_RATIO * size):
        raise _refused(
            archive, f"it has {size} bytes and would unpack to {total}, more than {MOST_RATIO} times"
        )
    if most_bytes is not None and total > most_bytes:
        raise _refused(archive, f"it would unpack to {total} bytes, expected at most {most_bytes}")
    free = shutil.disk_usage(folder.parent).free
    if total > free:
        raise DataError(
            f"{archive} would unpack to {total} bytes, {free} are free at {folder.parent}. Make room."
        )
    return files


def _place(entry: zipfile.ZipInfo, archive: Path) -> PurePosixPath:
    """Where an entry belongs in the folder; DataError for one that must not be unpacked."""
    name = entry.orig_filename.replace("\\", "/")  # as some writers on Windows have it
    place = PurePosixPath(name[: LONGEST_NAME + 1])  # each folder of it is looked at below
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if place.is_absolute() or ".." in place.parts or re.match(r"[A-Za-z]:", name) or "\0" in name:
        raise _refused(archive, f"{_shown(entry)} leads out of the folder")
    too_long = len(name) > LONGEST_NAME or max(map(len, name.encode().split(b"/"))) > LONGEST_PART
    if not place.parts or too_long:
        raise _refused(archive, f"{_shown(entry)} is no name for a file")
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        what = "a link" if kind == stat.S_IFLNK else "neither a file nor a folder"
        raise _refused(archive, f"{_shown(entry)} is {what}")
    if entry.flag_bits & ENCRYPTED:
        raise _refused(archive, f"{_shown(entry)} is encrypted")
    if entry.compress_type not in PACKED_AS:
        raise _refused(archive, f"{_shown(entry)} is not packed by deflate")
    return place


def _unpack(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, archive: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(entry) as source, path.open("xb") as target:
        shutil.copyfileobj(source, target, CHUNK)  # never more than the entry says: zipfile sees to that
    if (size := path.stat().st_size) != entry.file_size:
        raise _refused(archive, f"{_shown(entry)} has {size} bytes and says {entry.file_size}")


def _beside(path: Path) -> bool:
    """Whether it is what a system puts beside what a person packed."""
    return path.name.startswith(".") or path.name == "__MACOSX"


def _refused(archive: Path, why: str) -> DataError:
    return DataError(
        f"{archive} is refused: {why}. Pack it again, or unpack it yourself and import the folder."
    )


def _shown(entry: zipfile.ZipInfo) -> str:
    name = entry.orig_filename
    return repr(name if len(name) <= SHOWN else name[:SHOWN] + "...")
