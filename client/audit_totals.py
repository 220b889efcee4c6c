"""What the audit log says in all: what left, how often, which runs. Only what is new is read at each look."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

from client.audit import parsed


@dataclass
class Left:
    """All records of one kind that left; the largest sum of them was over `patients` patients."""

    kind: str
    times: int = 0
    bytes: int = 0
    patients: int = 0
    last: datetime | None = None


@dataclass
class RunHere:
    """One run that this site agreed to take part in; `rounds` are those that it trained."""

    run: str
    study: str
    name: str
    agreed: datetime
    rounds: set[int] = field(default_factory=set)
    last_trained: datetime | None = None


@dataclass
class Totals:
    """Sums over the lines read so far."""

    lines: int = 0
    offset: int = 0
    left: dict[str, Left] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)  # code -> how often
    runs: dict[str, RunHere] = field(default_factory=dict)
    updates: Counter[str] = field(default_factory=Counter)  # study -> weight changes counted
    studies: dict[str, str] = field(default_factory=dict)  # digest -> name
    last_greeted: datetime | None = None
    _counted: set[tuple[str, str, int, str]] = field(default_factory=set)

    def add(self, entry: Mapping[str, Any]) -> None:
        """Take one line in."""
        self.lines += 1
        event, when = entry["event"], datetime.fromisoformat(entry["time"])
        if "study" in entry and "name" in entry:
            self.studies[entry["study"]] = entry["name"]
        if event == "released":
            self._released(entry, when)
        elif event == "refused":
            self.refused[entry["code"]] += 1
        elif event == "enrolled":
            run = RunHere(entry["run"], entry["study"], entry["name"], when)
            self.runs.setdefault(entry["run"], run)
        elif event == "training":
            self._trained(entry, when)

    def _released(self, entry: Mapping[str, Any], when: datetime) -> None:
        one = self.left.setdefault(entry["kind"], Left(entry["kind"]))
        times = entry.get("times", 1)
        one.times += times
        one.bytes += times * entry["bytes"]
        one.patients = max(one.patients, entry["patients"])
        one.last = when
        if entry["kind"] == "greeting":
            self.last_greeted = when

    def _trained(self, entry: Mapping[str, Any], when: datetime) -> None:
        key = (entry["study"], entry["run"], entry["round"], entry["inputs"])
        if key not in self._counted:  # a round that is repeated from the same inputs counts once
            self._counted.add(key)
            self.updates[entry["study"]] += 1
        if (run := self.runs.get(entry["run"])) is not None:
            run.rounds.add(entry["round"])
            run.last_trained = when


class Summing:
    """Keeps the totals of one growing log; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._totals = Totals()
        self._lock = Lock()

    def totals(self) -> Totals:
        """Read what was written since the last look; PolicyError `audit` for a line that is none."""
        with self._lock:
            size = self._path.stat().st_size if self._path.exists() else 0
            if size < self._totals.offset:  # another log took its place
                self._totals = Totals()
            totals = self._totals
            if size > totals.offset:
                with self._path.open("rb") as file:
                    file.seek(totals.offset)
                    for line in file:
                        if not line.endswith(b"\n"):
                            break
                        totals.add(parsed(line, totals.lines + 1, self._path))
                        totals.offset += len(line)
            return replace(
                totals, left=dict(totals.left), runs=dict(totals.runs), studies=dict(totals.studies)
            )
