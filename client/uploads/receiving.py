"""Files of an upload, straight from the network to disk: within bounds, whole or not at all.

A file is counted before its first byte is written, with all of its upload that is still coming in. It lies in
`partial/` until it is whole.
"""

import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from client.site import Site
from client.upload_settings import GB, UploadSettings
from client.uploads.paths import place_of, shown
from client.uploads.room import Room, TooLargeError
from shared.errors import DataError
from shared.files import private_folder

FOLDER = "uploads"
INCOMING, PARTIAL, SCANS = "incoming", "partial", "scans"
HISTORY = "history.csv"


def folder_of(site: Site, upload: str) -> Path:
    """Where an upload's files lie."""
    return site.work / FOLDER / upload


@dataclass
class _Count:
    """Of one upload, with what is still coming in."""

    files: int = 0
    bytes: int = 0
    coming: int = 0  # files
    closed: bool = False


@dataclass
class Receiver:
    """What is coming in at this site."""

    site: Site
    room: Room
    _counts: dict[str, _Count] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def file(self, upload: str, name: str, size: int) -> Iterator[IO[bytes]]:
        """Yield a file to write `size` bytes to; it appears under its name when the block ends well.

        Raises
        ------
        TooLargeError
            The file, or with it the upload, is larger than allowed.
        DataError
            A name that is refused or taken, no room, or another size than was said.
        """
        place = place_of(name)
        _check_file(self.site.uploads, size)
        folder = self._folder(upload)
        partial = private_folder(folder / PARTIAL) / secrets.token_hex(8)
        with self._counted(upload, size):
            with self.room.file(partial, size) as stream:
                yield stream
            try:
                _put(partial, folder / INCOMING / place, name)
            finally:
                partial.unlink(missing_ok=True)

    def close(self, upload: str) -> None:
        """Take no more files for an upload; DataError while some are still coming, or if none came."""
        with self._lock:
            count = self._count(upload)
            if count.coming:
                raise DataError(f"{count.coming} files are still coming in. Finish when all are there.")
            if not count.files:
                raise DataError("no file came in. Choose a scan, a DICOM folder or a zip first.")
            count.closed = True

    def forget(self, upload: str) -> None:
        """Delete an upload's files."""
        with self._lock:
            self._counts.pop(upload, None)
        shutil.rmtree(folder_of(self.site, upload), ignore_errors=True)

    def _folder(self, upload: str) -> Path:
        private_folder(self.site.make_work() / FOLDER)
        return private_folder(folder_of(self.site, upload))

    @contextmanager
    def _counted(self, upload: str, size: int) -> Iterator[None]:
        with self._lock:
            count = self._count(upload)
            _check(self.site.uploads, count, size)
            count.files, count.bytes, count.coming = count.files + 1, count.bytes + size, count.coming + 1
        try:
            yield
        except BaseException:
            with self._lock:
                count.files, count.bytes = count.files - 1, count.bytes - size
            raise
        finally:
            with self._lock:
                count.coming -= 1

    def _count(self, upload: str) -> _Count:
        if upload not in self._counts:
            self._counts[upload] = _of_disk(folder_of(self.site, upload))
        return self._counts[upload]


def _check_file(limits: UploadSettings, size: int) -> None:
    if size > limits.file_gb * GB:
        raise TooLargeError(
            f"it has {size / GB:.2f} GB, expected at most {limits.file_gb:g} GB a file. "
            "Crop it or send it in parts; an engineer can raise uploads.file_gb in site.yaml."
        )


def _check(limits: UploadSettings, count: _Count, size: int) -> None:
    if count.closed:
        raise DataError("this upload is finished. Begin another one.")
    if count.files >= limits.batch_files:
        raise TooLargeError(
            f"one upload takes {limits.batch_files} files. Send the others in another upload."
        )
    if count.bytes + size > limits.batch_gb * GB:
        raise TooLargeError(
            f"with it this upload has {(count.bytes + size) / GB:.2f} GB, "
            f"expected at most {limits.batch_gb:g} GB. Send it in another upload."
        )


def _of_disk(folder: Path) -> _Count:
    """Count what came in before this process began."""
    files = [path for path in (folder / INCOMING).rglob("*") if path.is_file()]
    return _Count(len(files), sum(path.stat().st_size for path in files))


def _put(partial: Path, target: Path, name: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.link(partial, target)  # unlike a rename, never onto another file
    except (FileExistsError, NotADirectoryError) as error:
        raise DataError(
            f"{shown(name)!r} is in this upload already. Rename one, or send one in another upload."
        ) from error
