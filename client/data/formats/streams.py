"""Bytes of files that are not trusted: bounded, unpacked as they come, and never of another folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
from isal import igzip

from client.data.formats.base import unreadable
from shared.errors import CaseError

DEFLATE_RATIO = 1032  # zlib manual: deflate never compresses better than 1032 to 1
CHUNK = 2**20  # bytes
SHOWN = 80  # characters of a name that a message repeats


class Stream(Protocol):
    """All that the readers need of a file, packed or not."""

    def read(self, size: int, /) -> bytes:
        """Return the next `size` bytes, or fewer at the end."""


@contextmanager
def opened(path: Path) -> Iterator[tuple[Stream, int]]:
    """Open the uncompressed content as a stream, with the most bytes that it can possibly hold.

    Gzip is told by content, not by name.
    """
    with plain(path) as (raw, size):
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if packed:
            with igzip.IGzipFile(fileobj=raw) as stream:
                yield stream, size * DEFLATE_RATIO
        else:
            yield raw, size


@contextmanager
def plain(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file as it is, with its length in bytes."""
    if not path.is_file():  # a pipe or a device would block or never end
        raise unreadable(path, "it is not a regular file")
    with path.open("rb") as raw:
        yield raw, path.stat().st_size


def start_of(path: Path, count: int, *, unpack: bool = False) -> bytes:
    """Return the first bytes of a regular file for `Format.recognises`: as many as there are, maybe none."""
    try:
        with opened(path) if unpack else plain(path) as (stream, _):
            return stream.read(count)
    except Exception:  # not a file, damaged, of a kind that only looks like gzip
        return b""


def beside(path: Path, name: str) -> Path:
    """Return the regular file called `name` in the folder of `path`.

    Raises
    ------
    CaseError
        `outside_file` for a name with a folder in it and for a link: a header may not lead to any other file
        of the machine. `unreadable` if there is no such file.
    """
    shown = name if len(name) <= SHOWN else name[:SHOWN] + "..."
    if not name or name in {".", ".."} or any(sign in name for sign in "/\\:\0") or not name.isprintable():
        raise CaseError(
            "outside_file",
            f"{path} points to {shown!r}, expected the plain name of a file beside it. Put the two together.",
        )
    other = path.parent / name
    if other.is_symlink():
        raise CaseError(
            "outside_file", f"{other}, which belongs to {path}, is a link, expected the file. Copy it there."
        )
    if not other.is_file():
        raise unreadable(path, f"there is no file {shown} beside it")
    return other


def read_exactly(stream: Stream, count: int, path: Path) -> npt.NDArray[np.uint8]:
    """Read `count` bytes, which the caller has judged; CaseError `unreadable` if the stream ends early."""
    buffer = np.empty(count, np.uint8)
    filled = 0
    while filled < count:
        chunk = stream.read(min(CHUNK, count - filled))
        if not chunk:
            raise unreadable(path, f"it ends {count - filled} bytes early")
        buffer[filled : filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
        filled += len(chunk)
    return buffer


def skip(stream: Stream, count: int, path: Path) -> None:
    """Pass over `count` bytes; CaseError `unreadable` if the stream ends before."""
    while count:
        chunk = stream.read(min(CHUNK, count))
        if not chunk:
            raise unreadable(path, f"it ends {count} bytes early")
        count -= len(chunk)


def refuse_tail(stream: Stream, declared: int, most: int, path: Path) -> None:
    """Raise CaseError `too_large` if more than `most` bytes follow the `declared` ones."""
    left = most + 1
    while left and (chunk := stream.read(min(CHUNK, left))):
        left -= len(chunk)
    if not left:
        raise CaseError(
            "too_large",
            f"{path} goes on beyond the {declared} bytes its header declares, expected at most {most} more. "
            "Export it again.",
        )
