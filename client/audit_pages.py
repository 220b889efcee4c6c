"""The audit log a page at a time, the newest line first: a log of 100 MB is never held in memory.

The chain is not checked here; that is client/audit.py's `inspect`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Self

from client.audit import parsed
from shared.errors import PolicyError

CHUNK_BYTES = 2**16
FURTHEST_BYTES = 2**24
"""So much is searched for one page; where that is not enough the page says so and goes on from there."""


@dataclass(frozen=True)
class Place:
    """Between two lines: `offset` bytes and `lines` lines lie before it."""

    offset: int
    lines: int

    def __str__(self) -> str:
        """Write it as an address holds it."""
        return f"{self.offset}-{self.lines}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Read what an address holds; None for anything else."""
        offset, _, lines = text.partition("-")
        if offset.isdecimal() and lines.isdecimal() and len(text) < 40:
            return cls(int(offset), int(lines))
        return None


@dataclass(frozen=True)
class Numbered:
    """One line with its number, from 1."""

    number: int
    entry: Mapping[str, Any]

    @property
    def time(self) -> datetime:
        """When it was written, UTC."""
        return datetime.fromisoformat(str(self.entry["time"]))


@dataclass(frozen=True)
class Page:
    """Some lines, newest first; `older` is where the search goes on, None at the beginning of the log."""

    lines: tuple[Numbered, ...]
    older: Place | None


@dataclass(frozen=True)
class Filter:
    """Which lines are wanted; days are of this machine's own time zone, both included."""

    event: str = ""
    kind: str = ""
    study: str = ""
    first: date | None = None
    last: date | None = None

    def takes(self, line: Numbered) -> bool:
        """Whether a line is wanted."""
        entry = line.entry
        wanted = (("event", self.event), ("kind", self.kind), ("study", self.study))
        if any(value and entry.get(key) != value for key, value in wanted):
            return False
        if self.first is None and self.last is None:
            return True
        day = line.time.astimezone().date()
        return (self.first is None or day >= self.first) and (self.last is None or day <= self.last)


def end_of(path: Path) -> Place:
    """Count the whole lines of a log."""
    offset = lines = end = 0
    if path.exists():
        with path.open("rb") as file:
            while chunk := file.read(2**20):
                lines += chunk.count(b"\n")
                if (newline := chunk.rfind(b"\n")) >= 0:
                    end = offset + newline + 1
                offset += len(chunk)
    return Place(end, lines)


def page_of(path: Path, wanted: Filter, *, before: Place | None = None, most: int = 50) -> Page:
    """Find the newest `most` lines that are wanted, before a place or in the whole log.

    Raises
    ------
    PolicyError
        `audit`: a line that is none, or a place that is not between two lines.
    """
    start = end_of(path) if before is None else before
    found: list[Numbered] = []
    for place, line in _backwards(path, start):
        if wanted.takes(line):
            found.append(line)
        enough = len(found) == most or start.offset - place.offset > FURTHEST_BYTES
        if enough or (wanted.first is not None and line.time.astimezone().date() < wanted.first):
            return Page(tuple(found), place if enough and place.offset else None)
    return Page(tuple(found), None)


def lines_of(path: Path, wanted: Filter, *, until: Place | None = None) -> Iterator[Numbered]:
    """Read the wanted lines, the oldest first, up to a place."""
    until = until or end_of(path)
    if until.lines == 0:
        return
    with path.open("rb") as file:
        for number in range(1, until.lines + 1):
            line = Numbered(number, parsed(file.readline(), number, path))
            if wanted.takes(line):
                yield line


def _backwards(path: Path, start: Place) -> Iterator[tuple[Place, Numbered]]:
    """Yield each line before a place and where it begins, the last first."""
    if start.offset == 0:
        return
    with path.open("rb") as file:
        file.seek(start.offset - 1)
        if file.read(1) != b"\n":
            raise PolicyError("audit", f"{path} has no line that ends at byte {start.offset}. Begin anew.")
        offset, number, rest = start.offset, start.lines, b""
        position = start.offset
        while position:
            step = min(CHUNK_BYTES, position)
            position -= step
            file.seek(position)
            *whole, _nothing = (file.read(step) + rest).split(b"\n")
            if position:  # the first may begin further up
                rest = whole.pop(0) + b"\n"
            for line in reversed(whole):
                offset -= len(line) + 1
                yield Place(offset, number - 1), Numbered(number, parsed(line, number, path))
                number -= 1
