"""The worklist for programs: JSON, or CSV with a line for each scan. Both stay at the hospital."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from client.result import NOTICE
from client.worklist.listing import Listing
from client.worklist.records import Row
from shared.files import write_atomically

SCHEMA = "wardround.worklist/1"
COLUMNS = tuple(field.name for field in fields(Row))
"""Columns of the CSV and keys of a scan in JSON; more may come, none changes its meaning or its place."""


@dataclass(frozen=True)
class Listed:
    """One look at a worklist; the digests are of model and calibration in use, None where there is none."""

    site: str
    now: datetime
    rows: Sequence[Row]
    counts: dict[str, int]
    weights_digest: str | None
    calibration_digest: str | None
    drift: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()  # what a person should know of this look

    def is_older(self, row: Row) -> bool:
        """Whether a scan was read or scored by another model or calibration than the one in use."""
        return self.weights_digest is not None and (
            (row.weights_digest, row.calibration_digest) != (self.weights_digest, self.calibration_digest)
        )


def as_json(listed: Listed) -> dict[str, Any]:
    """Values for programs; times are ISO 8601 in UTC."""
    return {
        "schema": SCHEMA,
        "notice": NOTICE,
        "site": listed.site,
        "now": listed.now.isoformat(),
        "weights_digest": listed.weights_digest,
        "calibration_digest": listed.calibration_digest,
        "counts": listed.counts,
        "drift": listed.drift,
        "notes": list(listed.notes),
        "scans": [
            {**{name: _plain(getattr(row, name)) for name in COLUMNS}, "older": listed.is_older(row)}
            for row in listed.rows
        ],
    }


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write one line for each scan, open to its owner only; lists are joined by "; "."""
    with (
        write_atomically(path, private=True) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows(csv_lines(rows))


def csv_lines(rows: Iterable[Row]) -> Iterator[Sequence[Any]]:
    """Yield the header, then the cells of each scan."""
    yield COLUMNS
    for row in rows:
        yield [_cell(getattr(row, name)) for name in COLUMNS]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        value = "; ".join(value)
    if isinstance(value, str) and value[:1] in "=+-@\t\r" and value:
        return f"'{value}"  # a spreadsheet would run it: names come from files that anybody may have named
    return _plain(value)


def case_history(worklist: Listing, case: str) -> list[dict[str, Any]]:
    """Everything that happened to a scan and every priority it was given, the oldest first, each in words.

    Raises
    ------
    CaseError
        ``not_listed``.
    """
    lines = []
    for one in worklist.history(case):
        tier, by = (f" {one.tier}" if one.tier else ""), (f" by {one.by}" if one.by else "")
        lines.append({**_values(one), "text": f"{one.what}{tier}{by}"})
    for given in worklist.priorities(case):
        calibration = "none" if given.calibration_digest is None else given.calibration_digest[:12]
        text = f"{given.why}: {given.tier}, probability {given.probability:.2f}, calibration {calibration}"
        lines.append({"time": _plain(given.made), **_values(given), "text": text})
    return sorted(lines, key=lambda line: line["time"])


def _values(record: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(record, field.name)) for field in fields(record)}
