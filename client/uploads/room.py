"""Room on the disk of `work` for what comes in from browsers, scans and whole data sets alike.

A file is counted before its first byte is written, with all that is still coming in: several at once cannot
fill the disk together.
"""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from client.site import Site
from client.upload_settings import GB
from shared.errors import DataError


class TooLargeError(DataError):
    """More than may be sent."""


@dataclass
class Room:
    """What is free at this site; one for all that comes in, safe to use from several threads."""

    site: Site
    _coming: int = 0  # bytes that were announced and are not all written
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def file(self, path: Path, size: int) -> Iterator[IO[bytes]]:
        """Yield `path`, open to have `size` bytes written to it; what is not whole at the end is removed.

        Raises
        ------
        DataError
            The disk has no room, or another number of bytes came than was said.
        """
        with self._taken(size):
            try:
                with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as stream:  # noqa: PTH123
                    yield stream
                _check_size(path, size)
            except BaseException:
                path.unlink(missing_ok=True)
                raise

    @contextmanager
    def _taken(self, size: int) -> Iterator[None]:
        keep = self.site.uploads.keep_free_gb * GB
        with self._lock:
            free = shutil.disk_usage(self.site.make_work()).free
            if size + self._coming > free - keep:
                raise DataError(
                    f"the disk has {free / GB:.1f} GB free and keeps {keep / GB:g} GB, too little for "
                    f"{size / GB:.2f} GB. Ask an engineer to make room."
                )
            self._coming += size
        try:
            yield
        finally:
            with self._lock:
                self._coming -= size


def _check_size(path: Path, size: int) -> None:
    if (found := path.stat().st_size) != size:
        raise DataError(f"{found} of {size} bytes came. Send the file again.")
