"""The tags of a TIFF file's one page, read without believing a count or an offset.

TIFF 6.0 (Adobe, 1992) section 2; BigTIFF: https://libtiff.gitlab.io/libtiff/specification/bigtiff.html
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from client.data.formats.base import unreadable, unsupported

SIZES = {1: 1, 3: 2, 4: 4, 5: 8, 13: 4, 16: 8}  # bytes; text, floats and colour profiles are passed over
WHOLE = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
RATIONAL = 5
MAX_TAGS = 512
MAX_VALUES = 2**18  # of all tags together: a number in Python takes some 36 bytes
BYTE_ORDERS: dict[bytes, Literal["<", ">"]] = {b"II": "<", b"MM": ">"}


@dataclass(frozen=True)
class Tags:
    """Whole-number and rational tags of the page; each getter raises CaseError `unreadable`."""

    path: Path
    byte_order: Literal["<", ">"]
    numbers: Mapping[int, tuple[int, ...]]
    rationals: Mapping[int, float]

    def one(self, tag: int, default: int | None = None) -> int:
        """Return the only value of a tag (or the first of equal ones, as in BitsPerSample)."""
        values = self.numbers.get(tag, () if default is None else (default,))
        if not values or len(set(values)) != 1:
            raise unreadable(self.path, f"its tag {tag} is {list(values[:8])}, expected one number")
        return values[0]


def tags_of(path: Path, stream: BinaryIO, size: int) -> Tags:
    """Read the first directory of a file of `size` bytes; every value must lie inside the file.

    Raises
    ------
    CaseError
        `unreadable`, or `unsupported_type` for a file of several pages.
    """
    file = _File(path, stream, size)
    order, form, offset = _start(file)
    count, table = _directory(file, order, form, offset)
    numbers: dict[int, tuple[int, ...]] = {}
    rationals: dict[int, float] = {}
    budget = MAX_VALUES
    for index in range(count):
        tag, kind, values, inline = struct.unpack_from(order + form.entry, table, index * form.length(order))
        if tag in numbers or tag in rationals:  # readers differ in which of the two they believe
            raise unreadable(path, f"it has the tag {tag} twice")
        if kind not in SIZES:
            continue
        total = SIZES[kind] * values
        budget -= values
        if budget < 0:
            raise unreadable(path, f"its tags hold more than {MAX_VALUES} numbers")
        place = struct.unpack(order + form.pointer, inline)[0]
        block = inline[:total] if total <= len(inline) else file.piece(place, total)
        if kind == RATIONAL and values:
            above, below = struct.unpack_from(order + "II", block)
            rationals[tag] = above / below if below else 0.0
        elif kind in WHOLE:
            numbers[tag] = struct.unpack(f"{order}{values}{WHOLE[kind]}", block)
    return Tags(path, order, numbers, rationals)


@dataclass(frozen=True)
class _Form:
    """Codes of `struct` for the parts of a directory."""

    counter: str
    entry: str
    pointer: str

    def length(self, order: str) -> int:
        """Bytes of one entry."""
        return struct.calcsize(order + self.entry)


CLASSIC, BIG = _Form("H", "HHI4s", "I"), _Form("Q", "HHQ8s", "Q")


@dataclass(frozen=True)
class _File:
    path: Path
    stream: BinaryIO
    size: int

    def piece(self, offset: int, count: int) -> bytes:
        """Read bytes that must be there."""
        if offset + count > self.size:
            raise unreadable(
                self.path, f"it points to bytes {offset} to {offset + count}, it holds {self.size}"
            )
        self.stream.seek(offset)
        return self.stream.read(count)


def _start(file: _File) -> tuple[Literal["<", ">"], _Form, int]:
    """Byte order, form and place of the first directory."""
    start = file.piece(0, 8)
    order = BYTE_ORDERS.get(start[:2])
    if order is None:
        raise unreadable(file.path, "it does not begin like a TIFF file")
    version = struct.unpack(order + "H", start[2:4])[0]
    if version == 42:
        return order, CLASSIC, struct.unpack(order + "I", start[4:8])[0]
    if version == 43:
        return order, BIG, struct.unpack(order + "Q", file.piece(8, 8))[0]
    raise unreadable(file.path, f"its TIFF version is {version}, expected 42 or 43")


def _directory(file: _File, order: str, form: _Form, offset: int) -> tuple[int, bytes]:
    """Count the tags, and return the table of them."""
    head = struct.calcsize(order + form.counter)
    count = struct.unpack(order + form.counter, file.piece(offset, head))[0]
    if not 1 <= count <= MAX_TAGS:
        raise unreadable(file.path, f"its directory has {count} tags, expected 1 to {MAX_TAGS}")
    table = file.piece(offset + head, count * form.length(order))
    following = file.piece(offset + head + len(table), struct.calcsize(order + form.pointer))
    if struct.unpack(order + form.pointer, following)[0]:
        raise unsupported(file.path, "several pages", "one 2-D image a file")
    return count, table
