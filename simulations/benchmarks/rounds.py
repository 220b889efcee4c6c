"""What an engine costs: seconds of a round in which no site trains, with the same apps and study on each."""

import json
import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from client.app import app as client_app
from client.site import Site
from server.app import app as server_app
from server.results import Results
from shared.study import Study
from simulations.benchmarks.comparison import Comparison
from simulations.benchmarks.hospitals import prepared_sites, quickstart_study, written
from simulations.engine import Engine, run_config

Interval = tuple[float, float]


@dataclass(frozen=True)
class Size:
    """How much to run: `rounds` in each of `repeats` runs per engine, alternately."""

    sites: int
    patients_per_site: int
    rounds: int
    repeats: int
    channels: tuple[int, ...]


@dataclass(frozen=True)
class Cost:
    """One run: `start_s` from the call to the first training, `beyond_training_s` of each round."""

    start_s: float
    beyond_training_s: tuple[float, ...]
    whole_s: float


def measure(size: Size, engines: Mapping[str, Engine], folder: Path) -> tuple[Comparison, ...]:
    """Run one study of trivial training on each engine in turn, `size.repeats` times over."""
    study = trivial_study(size)
    files = prepared_sites(
        folder, study, sites=size.sites, patients_per_site=size.patients_per_site, shape=(16, 16, 16)
    )
    costs: dict[str, list[Cost]] = defaultdict(list)
    for repeat in range(size.repeats):
        for number, (name, engine) in enumerate(engines.items()):
            costs[name].append(run(name, engine, files, study, folder / f"run-{repeat}-{number}"))
    setting = (
        f"{size.sites} sites, {os.cpu_count()} cores, U-Net {list(size.channels)}, the process has imported "
        "everything and the scans are in the cache"
    )
    return (
        Comparison(
            measure="start: from the call to the first training",
            unit="s",
            better="lower",
            samples={name: tuple(c.start_s for c in found) for name, found in costs.items()},
            note=f"enrolment of every site included; {setting}",
        ),
        Comparison(
            measure="first round, beyond training",
            unit="s",
            better="lower",
            samples={name: tuple(c.beyond_training_s[0] for c in found) for name, found in costs.items()},
            note=f"seconds of the round in which no site trained; {setting}",
        ),
        Comparison(
            measure="each later round, beyond training",
            unit="s",
            better="lower",
            samples={
                name: tuple(s for c in found for s in c.beyond_training_s[1:])
                for name, found in costs.items()
            },
            note=(
                "seconds of the round in which no site trained; validation of the round before included; "
                f"{setting}"
            ),
        ),
        Comparison(
            measure=f"whole run of {size.rounds} rounds",
            unit="s",
            better="lower",
            samples={name: tuple(c.whole_s for c in found) for name, found in costs.items()},
            note=f"training, validation and final evaluation included; {setting}",
        ),
    )


def trivial_study(size: Size) -> Study:
    """One epoch over scans of 16 voxels a side."""
    return quickstart_study(
        preprocessing={"shape": [16, 16, 16]},
        model={"channels": list(size.channels)},
        training={"rounds": size.rounds, "local_epochs": 1, "window": [16, 16, 16]},
        strategy={"quorum": size.sites, "deadline_s": 3600},
        evaluation={"validation_fraction": 0.2, "test_fraction": 0.2},
    )


def run(name: str, engine: Engine, files: list[Path], study: Study, out: Path) -> Cost:
    """Run `study` on `engine`; results.json and model/ end up in `out`."""
    config = run_config(written(study, out), out, sites=len(files), engine=name)
    lines = audit_lines(files)
    begun, begin_s = time.time(), time.monotonic()
    engine(server_app, client_app, files, config)
    whole_s = time.monotonic() - begin_s
    trained = training_intervals(files, lines)
    return Cost(
        start_s=min(first_s for first_s, _ in trained[1]) - begun,
        beyond_training_s=beyond_training_s(Results.read(out / "results.json"), trained),
        whole_s=whole_s,
    )


def audit_lines(files: Sequence[Path]) -> list[int]:
    """How long each site's audit log is now."""
    return [len(_audit(path)) for path in files]


def training_intervals(files: Sequence[Path], since: Sequence[int]) -> dict[int, list[Interval]]:
    """Round -> when each site trained (Unix seconds), from its audit log after line `since`.

    It begins when the policy has allowed the round, before data is read, and ends with the update's release.
    """
    found: dict[int, list[Interval]] = defaultdict(list)
    for path, first in zip(files, since, strict=True):
        begun: dict[int, float] = {}
        for line in _audit(path)[first:]:
            entry = json.loads(line)
            at_s = datetime.fromisoformat(entry["time"]).timestamp()
            if entry["event"] == "training":
                begun[entry["round"]] = at_s
            elif entry["event"] == "released" and entry["kind"] == "update":
                found[entry["round"]].append((begun[entry["round"]], at_s))
    return found


def beyond_training_s(results: Results, trained: Mapping[int, list[Interval]]) -> tuple[float, ...]:
    """Seconds of each round in which no site trained."""
    return tuple(r.seconds - covered_s(trained[r.round]) for r in results.rounds)


def _audit(site_file: Path) -> list[str]:
    log = Site.read(site_file).work / "audit.jsonl"
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def covered_s(intervals: list[Interval]) -> float:
    """Seconds that lie in at least one of the intervals (begin, end)."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total
