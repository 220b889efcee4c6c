"""An append-only log of what this node did: each line seals the one before, `audit.head` seals the last.

A line is JSON with `previous` = SHA-256 of the line before, so that an edited, removed, repeated or moved
line breaks the chain at that place. `audit.head` holds the number of lines and the SHA-256 of the last, so
that an end that was cut off is missed. Whoever can write both files can still forge them: therefore the
coordinator is told (lines, seal) at each greeting, and `verify` takes what it was told as a witness.

The head is written after its line. If the machine stops between the two, the head is one line behind, or the
last line has no end; both are told apart from tampering, and the next `append` mends them. Anything else that
does not fit refuses to be appended to, so that no evidence is written over and nothing leaves unlogged.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

from shared.errors import PolicyError
from shared.files import write_atomically
from shared.wire import Scalar

GENESIS = "0" * 64
CHUNK_BYTES = 4096
SEAL_BYTES = 32
CURE = (
    "Restore audit.jsonl and audit.head from a backup, or move both away together to begin a new log, and "
    "keep them: the coordinator will notice."
)

Event = Literal[
    "started",  # the node was started
    "stopped",  # the node was stopped
    "enrolled",  # this site agreed to take part in a run
    "approved",  # a person allowed a study
    "declined",  # a person said no to a study
    "withdrawn",  # a person took that back
    "training",  # a round was counted against the budget
    "released",  # a record left
    "refused",  # an instruction or a record was refused
    "bundle_refused",  # the coordinator sent code that is not what is installed here
]
Witness = tuple[int, str]
"""How many lines the log had, and the seal of the last of them."""


@dataclass(frozen=True)
class Verified:
    """An intact log; `note` says what a stopped machine left half done, None if nothing."""

    lines: int
    seal: str
    note: str | None = None


class Audit:
    """The log of one site, in `path`, and `audit.head` beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head_path = path.with_suffix(".head")

    def append(self, event: Event, **facts: Scalar) -> None:
        """Write one line and flush it and the head to disk before returning.

        Raises
        ------
        PolicyError
            `audit`: log and head do not belong together; nothing was written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked(fcntl.LOCK_EX) as file:
            end, last = _last_line(file)
            lines = self._lines_of(last)
            if last is not None and (self._head() or (0, GENESIS))[0] < lines:
                self._write_head(lines, last)  # first: where a disk is full it must not fall further behind
            entry = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "event": event,
                **facts,
                "previous": GENESIS if last is None else _seal(last),
            }
            line = json.dumps(entry).encode()
            file.seek(end)
            file.truncate()  # a line without its end was never confirmed to anybody
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
            self._write_head(lines + 1, line)

    def append_once(self, event: Event, **facts: Scalar) -> None:
        """Write one line unless the log has one of this event and these facts."""
        if not any(facts.items() <= entry.items() for entry in self.entries(event)):
            self.append(event, **facts)

    def seal(self) -> Witness:
        """Say how many lines there are and the last one's seal, without reading the others.

        Raises
        ------
        PolicyError
            `audit`: log and head do not belong together.
        """
        if not self.path.exists() and not self.head_path.exists():
            return 0, GENESIS
        with self._locked(fcntl.LOCK_SH) as file:
            _, last = _last_line(file)
            return self._lines_of(last), GENESIS if last is None else _seal(last)

    def verify(self, witness: Witness | None = None) -> int:
        """Count the lines of an intact log; see `inspect`."""
        return self.inspect(witness).lines

    def inspect(self, witness: Witness | None = None) -> Verified:
        """Check every line, the head, and what a witness was told earlier.

        Raises
        ------
        PolicyError
            `audit`: with the number of the first line that does not fit, and why.
        """
        if not self.path.exists() and not self.head_path.exists():
            return self._checked([], witness)
        with self._locked(fcntl.LOCK_SH) as file:
            return self._checked(file, witness)

    def entries(self, event: Event | None = None) -> Iterator[dict[str, Any]]:
        """Read the lines, or those of one event, without checking the chain."""
        if not self.path.exists():
            return
        wanted = f'"event": "{event}"'.encode() if event else b""
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if wanted in line and line.endswith(b"\n"):
                    yield parsed(line, number, self.path)

    def _checked(self, file: Iterable[bytes], witness: Witness | None) -> Verified:
        """Check line by line; a log of 100 MB is not held in memory, only its seals are."""
        previous, seals, note = GENESIS, _Seals(), None
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                note = "the last line has no end: the machine stopped while it was written"
                break
            sealed = parsed(line, number, self.path)["previous"]
            if sealed != previous:
                raise PolicyError(
                    "audit",
                    f"{self.path} line {number} follows {str(sealed)[:12]}..., expected {previous[:12]}...: "
                    f"it was moved, or a line before it was edited, removed, repeated or moved. {CURE}",
                )
            previous = _seal(line.removesuffix(b"\n"))
            seals.add(previous)
        head, lines = self._head(), len(seals)
        if head is None and lines > 1:
            raise PolicyError("audit", f"{self.head_path} is missing; the log has {lines} lines. {CURE}")
        told = head or (0, GENESIS)
        self._compare(told, seals, f"{self.head_path.name} counts")
        if lines > told[0] + 1:
            raise PolicyError(
                "audit",
                f"{self.path} has {lines} lines, {self.head_path.name} counts {told[0]}: line "
                f"{told[0] + 2} and those after it were added by something else. {CURE}",
            )
        if lines == told[0] + 1:
            note = f"line {lines} is whole and {self.head_path.name} is one behind: the machine stopped"
        if witness is not None:
            self._compare(witness, seals, "the witness saw")
        return Verified(lines, previous, note)

    def _compare(self, told: Witness, seals: "_Seals", who: str) -> None:
        lines, seal = told
        if lines > len(seals):
            raise PolicyError(
                "audit",
                f"{self.path} ends at line {len(seals)}, {who} {lines}: lines were cut off. {CURE}",
            )
        if seals.after(lines) != seal:
            raise PolicyError(
                "audit",
                f"{self.path} line {lines} has the seal {seals.after(lines)[:12]}..., {who} it with "
                f"{seal[:12]}...: it was edited or replaced. {CURE}",
            )

    def _lines_of(self, last: bytes | None) -> int:
        """How many lines the log has that ends in `last`, by the head, which may be one behind."""
        found = GENESIS if last is None else _seal(last)
        lines, seal = self._head() or (0, GENESIS)
        if found == seal:
            return lines
        if last is not None and parsed(last, lines + 1, self.path)["previous"] == seal:
            return lines + 1
        raise PolicyError(
            "audit",
            f"{self.path} does not end as {self.head_path} says: one of them was edited, cut or replaced; "
            f"`wardround site audit verify` says where. {CURE}",
        )

    def _head(self) -> Witness | None:
        try:
            head = json.loads(self.head_path.read_text(encoding="utf-8"))
            return int(head["lines"]), str(head["seal"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise PolicyError("audit", f"{self.head_path} is damaged ({error}). {CURE}") from error

    def _write_head(self, lines: int, last: bytes) -> None:
        with write_atomically(self.head_path, private=True) as temporary:
            temporary.write_text(json.dumps({"lines": lines, "seal": _seal(last)}), encoding="utf-8")

    @contextmanager
    def _locked(self, how: int) -> Iterator[BinaryIO]:
        """Open the log while nobody else writes to it: two runs at one site share one chain."""
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(handle, "r+b") as file:
            fcntl.flock(file, how)
            yield file


class _Seals:
    """The seal after each line, 32 bytes each."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def __len__(self) -> int:
        return len(self._bytes) // SEAL_BYTES

    def add(self, seal: str) -> None:
        self._bytes += bytes.fromhex(seal)

    def after(self, lines: int) -> str:
        """Return the seal of this line; of none, the beginning."""
        end = SEAL_BYTES * lines
        return bytes(self._bytes[end - SEAL_BYTES : end]).hex() if lines else GENESIS


def _last_line(file: BinaryIO) -> tuple[int, bytes | None]:
    """Where the last whole line ends, in bytes, and that line; read from the end of the file."""
    place = file.seek(0, os.SEEK_END)
    tail = b""
    while place > 0 and tail.count(b"\n") < 2:
        step = min(CHUNK_BYTES, place)
        place = file.seek(place - step)
        tail = file.read(step) + tail
    whole, newline, _torn = tail.rpartition(b"\n")
    if not newline:
        return 0, None
    return place + len(whole) + 1, whole.rpartition(b"\n")[2]


def parsed(line: bytes, number: int, path: Path) -> dict[str, Any]:
    """Read one line; PolicyError `audit` with its number where it is none."""
    try:
        entry: dict[str, Any] = json.loads(line)
        for name in ("time", "event", "previous"):
            _ = entry[name]
    except (ValueError, KeyError, TypeError) as error:
        raise PolicyError("audit", f"{path} line {number} is not an audit line ({error}). {CURE}") from error
    return entry


def _seal(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
