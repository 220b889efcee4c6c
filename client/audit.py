"""An append-only log of everything that left, was refused or failed; each line seals the one before it.

A line is JSON with `previous` = SHA-256 of the line before, so that an edited, cut-out or reordered line
breaks the chain at that place. Cutting the end off is seen by comparing with the coordinator's records.
"""

import fcntl
import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from shared.errors import PolicyError
from shared.wire import Scalar

GENESIS = "0" * 64


class Audit:
    """The log of one site, in `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, event: str, **facts: Scalar) -> None:
        """Write one line and flush it to disk before returning."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # two runs at one site share one chain
            file.seek(0)
            lines = file.read().splitlines()
            entry = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "event": event,
                **facts,
                "previous": _seal(lines[-1]) if lines else GENESIS,
            }
            file.write(json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def verify(self) -> int:
        """Count the lines; raise PolicyError at the first one that does not follow from the one before."""
        previous = GENESIS
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        for number, line in enumerate(lines, start=1):
            try:
                sealed = json.loads(line)["previous"]
            except (ValueError, KeyError, TypeError) as error:
                raise PolicyError(
                    "audit", f"{self.path} line {number} is not an audit line: {error}"
                ) from error
            if sealed != previous:
                raise PolicyError(
                    "audit",
                    f"{self.path} line {number} follows {sealed[:12]}..., expected {previous[:12]}...: "
                    "a line before it was edited, removed or moved. Restore the log from a backup.",
                )
            previous = _seal(line)
        return len(lines)


def _seal(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
