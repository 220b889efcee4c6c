"""What an engine costs: seconds of a round in which no site trains, with the same apps and study on each."""

import json
import os
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from client.app import ACTS, answer
from client.node import Node
from client.site import Site
from server.app import app as server_app
from server.results import Results
from shared.files import write_atomically
from shared.study import Study
from shared.wire import Record
from simulations.benchmarks.comparison import Comparison
from simulations.benchmarks.hospitals import prepared_sites, quickstart_study
from simulations.engine import Engine, RunConfig

TRAINING_LOG = "training.jsonl"
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


class TimedClientApp(ClientApp):
    """The client's app, which also notes when its node trains, on the clock that all processes share."""

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer `message` as the app does."""
        return answer(message, context, {**ACTS, "train": _timed_train})


def _timed_train(node: Node, record: Record) -> Record:
    begin_s = time.monotonic()
    update = node.train(record)
    line = json.dumps([record.integer("round"), begin_s, time.monotonic()])
    with (node.site.work / TRAINING_LOG).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    return update


def measure(size: Size, engines: Mapping[str, Engine], folder: Path) -> tuple[Comparison, ...]:
    """Run one study of trivial training on each engine in turn, `size.repeats` times over."""
    study = quickstart_study(
        preprocessing={"shape": [16, 16, 16]},
        model={"channels": list(size.channels)},
        training={"rounds": size.rounds, "local_epochs": 1, "window": [16, 16, 16]},
        strategy={"quorum": size.sites},
        evaluation={"validation_fraction": 0.2, "test_fraction": 0.2},
    )
    files = prepared_sites(
        folder, study, sites=size.sites, patients_per_site=size.patients_per_site, shape=(16, 16, 16)
    )
    costs: dict[str, list[Cost]] = defaultdict(list)
    for repeat in range(size.repeats):
        for number, (name, engine) in enumerate(engines.items()):
            costs[name].append(_run(name, engine, files, study, folder / f"run-{repeat}-{number}"))
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


def _run(name: str, engine: Engine, files: list[Path], study: Study, out: Path) -> Cost:
    logs = [Site.read(path).work / TRAINING_LOG for path in files]
    for log in logs:
        log.unlink(missing_ok=True)
    study_file = out / "study.yaml"
    with write_atomically(study_file) as draft:
        draft.write_text(study.to_yaml(), encoding="utf-8")
    config: RunConfig = {
        "study": str(study_file.resolve()),
        "out": str(out.resolve()),
        "sites": len(files),
        "engine": name,
        "resume": False,
        "start": "",
    }
    begin_s = time.monotonic()
    engine(server_app, TimedClientApp(), files, config)
    whole_s = time.monotonic() - begin_s
    trained: dict[int, list[Interval]] = defaultdict(list)
    for log in logs:
        for line in log.read_text(encoding="utf-8").splitlines():
            number, first_s, last_s = json.loads(line)
            trained[number].append((first_s, last_s))
    rounds = Results.read(out / "results.json").rounds
    return Cost(
        start_s=min(first_s for first_s, _ in trained[1]) - begin_s,
        beyond_training_s=tuple(r.seconds - covered_s(trained[r.round]) for r in rounds),
        whole_s=whole_s,
    )


def covered_s(intervals: list[Interval]) -> float:
    """Seconds that lie in at least one of the intervals (begin, end)."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total
