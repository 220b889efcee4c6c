"""What the queue tells: uploads, their scans, and what checking found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from client.data.layouts.base import Listed
from client.uploads.tables import FAILED, READ, READING, SKIPPED, WAITING, ScanRow, UploadRow

State = Literal["open", "received", "checking", "waiting", "reading", "done", "failed"]


@dataclass(frozen=True)
class Found:
    """One scan that checking found, or one file that it refused: then `listed` is None and `reason` says why.

    `sent` is the file, zip or folder in which it came, `content` the SHA-256 of its files.
    """

    sent: str
    case: str | None
    listed: Listed | None = None
    content: str | None = None
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Sent:
    """One scan or refused file of an upload, as the pages show it."""

    sent: str
    case: str | None
    state: str
    reason: str | None
    detail: str | None


@dataclass(frozen=True)
class Upload:
    """One upload, as the pages show it."""

    id: str
    owner: str
    begun: datetime
    finished: datetime | None
    removed: datetime | None
    stage: str  # of UploadRow
    reason: str | None
    notes: tuple[str, ...]
    scans: tuple[Sent, ...] = field(default=())

    @property
    def state(self) -> State:
        """Where it stands, in one word."""
        if self.stage != "checked":
            return self.stage  # type: ignore[return-value]  # the others are states of their own
        if self.count(READING):
            return "reading"
        if self.count(WAITING):
            return "reading" if self.count(READ, FAILED) else "waiting"
        return "done" if self.count(READ) else "failed"

    @property
    def under_way(self) -> bool:
        """Whether there is something to wait for."""
        return self.state in {"received", "checking", "waiting", "reading"}

    @property
    def to_read(self) -> int:
        """How many scans were found that can be read."""
        return self.count(WAITING, READING, READ, FAILED)

    def count(self, *states: str) -> int:
        """How many of its scans and files are in one of these states."""
        return sum(scan.state in states for scan in self.scans)


@dataclass(frozen=True)
class Taken:
    """One scan that the worker is to read."""

    id: int
    upload: str
    case: str
    listed: Listed


def upload_of(row: UploadRow, scans: list[ScanRow]) -> Upload:
    """Tell a row with its scans; what is to be read or was read comes first."""
    order = sorted(scans, key=lambda scan: (scan.state == SKIPPED, scan.id))
    return Upload(
        row.id,
        row.owner,
        row.begun,
        row.finished,
        row.removed,
        row.state,
        row.reason,
        tuple(row.notes),
        tuple(Sent(scan.sent, scan.case, scan.state, scan.reason, scan.detail) for scan in order),
    )


def listed_values(listed: Listed) -> dict[str, Any]:
    """Values that JSON can hold; a label beside a scan is not kept, since nobody looks at it."""
    return {
        "images": {name: str(path) for name, path in listed.images.items()},
        "patient": listed.patient,
        "components": list(listed.components),
    }


def listed_of(case: str, values: Mapping[str, Any]) -> Listed:
    """Make of `listed_values` what they were made of."""
    images = {name: Path(path) for name, path in values["images"].items()}
    return Listed(case, images, None, patient=values["patient"], components=tuple(values["components"]))
