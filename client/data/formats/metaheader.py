"""The text header of a MetaImage: `Name = value` lines that end with the one that names the voxels' file."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from client.data.formats.base import unreadable
from client.data.formats.streams import plain
from client.data.limits import Limits

LAST = "ElementDataFile"
MAX_HEADER = 2**16  # bytes
FLAGS = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True)
class Fields:
    """The header's fields as text; each getter raises CaseError `unreadable` for what it cannot use."""

    path: Path
    values: Mapping[str, str]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str, *, default: str | None = None) -> str:
        """Return a field, without the space around it."""
        value = self.values.get(name, default)
        if value is None:
            raise unreadable(self.path, f"its header has no {name}")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Return True or False."""
        value = self.text(name, default=str(default))
        if value.lower() not in WORDS:
            raise unreadable(self.path, f"its {name} is {value[:40]!r}, expected True or False")
        return WORDS[value.lower()]

    def integer(self, name: str, *, default: int | None = None) -> int:
        """Return one whole number."""
        if default is not None and name not in self.values:
            return default
        return self.integers(name, 1)[0]

    def integers(self, name: str, count: int) -> list[int]:
        """Return exactly `count` whole numbers."""
        return [int(value) for value in self._split(name, count, whole=True)]

    def numbers(self, name: str, count: int, *, default: list[float] | None = None) -> list[float]:
        """Return exactly `count` finite numbers."""
        if default is not None and name not in self.values:
            return default
        return [float(value) for value in self._split(name, count, whole=False)]

    def _split(self, name: str, count: int, *, whole: bool) -> list[str]:
        found = self.text(name).split()
        if len(found) != count or not all(_is_number(value, whole=whole) for value in found):
            kind = "whole" if whole else "finite"
            shown = " ".join(found)[:60]
            raise unreadable(self.path, f"its {name} is {shown!r}, expected {count} {kind} number(s)")
        return found


def parsed(path: Path, limits: Limits) -> tuple[Fields, int]:
    """Read the header of `path`; return its fields and the byte at which it ends.

    Raises
    ------
    CaseError
        `unreadable`: no header, a field twice, more than 64 KiB, or more than 16 dimensions.
    """
    with plain(path) as (stream, _):
        block = stream.read(min(MAX_HEADER, limits.max_offset))
    values: dict[str, str] = {}
    end = 0
    while LAST not in values:
        line_end = block.find(b"\n", end)
        line = block[end : line_end if line_end >= 0 else len(block)]
        name, equals, value = line.decode("latin-1").partition("=")
        key = name.strip()
        if line.strip():
            if not equals or not key.isprintable():  # ITK adds names such as 0008|0070
                raise unreadable(path, f"byte {end} of its header is not a line `Name = value`")
            if key in values and key != "Comment":  # readers differ in which of the two they believe
                raise unreadable(path, f"its header has {key} twice")
            values[key] = value.strip()
        if line_end < 0:
            break
        end = line_end + 1
    if LAST not in values:
        raise unreadable(path, f"its header does not end with {LAST} within {len(block)} bytes")
    if line_end < 0:
        end = len(block)
    fields = Fields(path, values)
    if not 2 <= fields.integer("NDims") <= 16:
        raise unreadable(path, f"its NDims is {fields.integer('NDims')}, expected 2 or 3")
    return fields, end


def _is_number(text: str, *, whole: bool) -> bool:
    try:
        return len(text) < 40 and math.isfinite(int(text) if whole else float(text))
    except (ValueError, OverflowError):
        return False
