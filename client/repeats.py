"""Answers that are given again and again: counted one by one, written into the audit log together.

While a study waits for its approval the coordinator asks every few seconds, and every refusal is an answer
that leaves. The first is a line of the audit log. Each further one is a line of `repeats.jsonl`, flushed to
disk before the answer is sent; together they become one line of the log with `times`, after `EVERY_S` or
before anything else is released.

What holds, and is tested: so many times did an answer leave as the log's lines say (`times`, or once) and
`outstanding` counts. Where the machine stops in between it was fewer times, never more.
"""

import fcntl
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from client.audit import Audit
from shared.errors import PolicyError
from shared.wire import Scalar

EVERY_S = 600.0


class Repeats:
    """The repeated answers of one site, in `repeats.jsonl` beside its audit log."""

    def __init__(self, audit: Audit, now: Callable[[], float] = time.time) -> None:
        self._audit = audit
        self._path = audit.path.with_name("repeats.jsonl")
        self._now = now

    def append(self, **facts: Scalar) -> None:
        """Count one release; `facts` are what its line in the log says, and equal for equal answers."""
        with self._locked() as file:
            key, now = json.dumps(facts, sort_keys=True), self._now()
            since = [when for when, other in self._read(file) if other == key]
            if not since:
                self._audit.append("released", **facts)
            elif not 0 <= now - since[0] < EVERY_S:
                self._write(file, [key])
            file.write(json.dumps({"time": now, "facts": key}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def settle(self) -> None:
        """Write what is counted into the log; call it before anything else is released."""
        if self._path.exists():
            with self._locked() as file:
                self._write(file, [])

    def outstanding(self) -> int:
        """Count the releases that no line of the log speaks of yet."""
        if not self._path.exists():
            return 0
        with self._locked() as file:
            return sum(count - 1 for count in self._counts(file).values())

    def _write(self, file: BinaryIO, more: list[str]) -> None:
        for key, count in (self._counts(file) + Counter(more)).items():
            times = count - 1  # the first has a line of its own
            if times > 0:
                self._audit.append("released", **json.loads(key), **({"times": times} if times > 1 else {}))
        file.seek(0)
        file.truncate()

    def _counts(self, file: BinaryIO) -> Counter[str]:
        return Counter(key for _, key in self._read(file))

    def _read(self, file: BinaryIO) -> list[tuple[float, str]]:
        """Read the lines, and leave `file` where the next one belongs."""
        file.seek(0)
        *lines, torn = file.read().split(b"\n")
        found = []
        for number, line in enumerate(lines, start=1):
            try:
                entry: dict[str, Any] = json.loads(line)
                found.append((float(entry["time"]), json.dumps(json.loads(entry["facts"]), sort_keys=True)))
            except (ValueError, KeyError, TypeError) as error:
                raise PolicyError(
                    "audit",
                    f"{self._path} line {number} is damaged ({error}), expected a repeated answer. Move the "
                    "file away and keep it: it counts answers that audit.jsonl does not.",
                ) from error
        file.seek(-len(torn), os.SEEK_END)  # a line without its end was never sent: it is written over
        return found

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(handle, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
