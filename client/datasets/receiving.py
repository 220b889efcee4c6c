"""The zip of a whole data set from a browser, straight to disk: whole or not at all."""

import secrets
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from client.upload_settings import GB
from client.uploads.room import Room, TooLargeError
from shared.errors import DataError
from shared.files import private_folder


@contextmanager
def received(folder: Path, size: int, room: Room) -> Iterator[tuple[Path, IO[bytes]]]:
    """Yield a path and a file to write `size` bytes to; what is no whole zip is removed.

    Raises
    ------
    TooLargeError
        More than the site takes in one zip.
    DataError
        No room on the disk, another size than was said, or no zip.
    """
    limit_gb = room.site.uploads.data_set_gb
    if size > limit_gb * GB:
        raise TooLargeError(
            f"the zip has {size / GB:.2f} GB, expected at most {limit_gb:g} GB. Name a folder that is on "
            "this machine already, or raise uploads.data_set_gb in site.yaml."
        )
    path = private_folder(folder) / f"{secrets.token_hex(8)}.zip"
    with room.file(path, size) as stream:
        yield path, stream
    if not zipfile.is_zipfile(path):
        path.unlink()
        raise DataError("the file is no zip, or it is cut off. Put the data set's folder into a zip.")
