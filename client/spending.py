"""What client/ledger.py wrote, read without the libraries that accounted for it: it can be shown at once."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import PolicyError

ENTRY = frozenset(
    {"run", "study", "round", "inputs", "patients", "seed"}
    | {"steps", "sample_rate", "noise_multiplier", "delta", "epsilon"}
)
SECRET = frozenset({"seed"})
"""Whoever knows it can take the noise off a weight change: it is shown to nobody."""


@dataclass(frozen=True)
class Spent:
    """What private training has cost in one run: `epsilon` at the study's `delta`, after `rounds` rounds."""

    run: str
    study: str
    epsilon: float
    delta: float
    rounds: int


def entries(path: Path) -> list[dict[str, Any]]:
    """Read the ledger, one entry a round that was opened; PolicyError `ledger` where it is damaged."""
    if not path.exists():
        return []
    try:
        return [_entry(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise PolicyError("ledger", f"{path} is damaged ({error}); restore it before training on.") from error


def without_secrets(path: Path) -> list[dict[str, Any]]:
    """Read the ledger as it may be shown."""
    return [{key: value for key, value in one.items() if key not in SECRET} for one in entries(path)]


def spent(path: Path) -> list[Spent]:
    """Sum up the ledger by run and study, in the order in which the runs began."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in entries(path):
        found.setdefault((str(entry["run"]), str(entry["study"])), []).append(entry)
    return [
        Spent(
            run,
            study,
            epsilon=max(float(entry["epsilon"]) for entry in of_run),
            delta=max(float(entry["delta"]) for entry in of_run),
            rounds=len({entry["round"] for entry in of_run}),
        )
        for (run, study), of_run in found.items()
    ]


def _entry(line: str) -> dict[str, Any]:
    entry = json.loads(line)
    if not isinstance(entry, dict) or entry.keys() != ENTRY:
        raise ValueError("a line is no entry of this ledger")
    return entry
