"""A zip from a browser, straight to disk: whole or not at all."""

import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from shared.errors import DataError
from shared.files import private_folder

KEEP_FREE_BYTES = 2 * 10**9
"""What stays free for the node's own work: log, cache, model."""


@contextmanager
def received(folder: Path, size: int) -> Iterator[tuple[Path, IO[bytes]]]:
    """Yield a path and a file to write `size` bytes to; what is no whole zip is removed.

    Raises
    ------
    DataError
        No room on the disk, another size than was said, or no zip.
    """
    private_folder(folder)
    free = shutil.disk_usage(folder).free
    if size > free - KEEP_FREE_BYTES:
        raise DataError(
            f"the disk has {free / 1e9:.1f} GB free and keeps {KEEP_FREE_BYTES / 1e9:g}; too little for "
            f"{size / 1e9:.2f} GB. Make room, or name a folder that is on this machine already."
        )
    path = folder / f"{secrets.token_hex(8)}.zip"
    try:
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as stream:  # noqa: PTH123
            yield path, stream
        _check(path, size)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _check(path: Path, size: int) -> None:
    if (found := path.stat().st_size) != size:
        raise DataError(f"{found} of {size} bytes came. Send the file again.")
    if not zipfile.is_zipfile(path):
        raise DataError("the file is no zip, or it is cut off. Put the data set's folder into a zip.")
