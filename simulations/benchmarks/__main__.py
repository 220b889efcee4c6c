"""`python -m simulations.benchmarks`: measure every comparison in one run and print it."""

import os

# Set before Flower is imported anywhere: nothing about a run is reported to anybody.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")

import json
import tempfile
import warnings
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from server.run import versions
from simulations.benchmarks import (
    deployed,
    loading,
    memory,
    pages,
    payload,
    preparation,
    reading,
    rounds,
    throughput,
)
from simulations.benchmarks.comparison import Comparison, table
from simulations.benchmarks.workload import Size, Workload, one_thread
from simulations.engine import engine
from simulations.simulate import quiet_libraries

WORKERS = 2
ROUNDS = rounds.Size(sites=4, patients_per_site=20, rounds=6, repeats=2, channels=(16, 32, 64))
DEPLOYED = rounds.Size(sites=4, patients_per_site=20, rounds=5, repeats=2, channels=(16, 32, 64))
QUICK_ROUNDS = rounds.Size(sites=2, patients_per_site=10, rounds=2, repeats=1, channels=(4, 8))
MEMORY = memory.Size(sites=(4, 40, 400), channels=(16, 32, 64))
QUICK_MEMORY = memory.Size(sites=(2, 4), channels=(4, 8))
TRAINING = Size(cases=32, shape=(48, 48, 32), epochs=2, repeats=9, preparations=3)
QUICK_TRAINING = Size(cases=4, shape=(40, 40, 24), epochs=1, repeats=2, preparations=1)
LOADING = (
    loading.Size("small", 32, (40, 40, 40), 1.0, (32, 32, 32), epochs=4, repeats=3),
    loading.Size("small, resampled", 32, (40, 40, 40), 1.5, (16, 16, 16), epochs=0, repeats=3),
    loading.Size("large", 6, (240, 240, 155), 1.0, (96, 96, 96), epochs=4, repeats=3),
    loading.Size("large, resampled", 6, (240, 240, 155), 1.5, (64, 64, 64), epochs=0, repeats=3),
)
READING = reading.Size((512, 512, 100), (0.7, 0.7, 2.5), window=(64, 64, 32), volumes=2, epochs=80, repeats=3)
QUICK_READING = reading.Size(
    (64, 64, 20), (2.0, 2.0, 2.5), window=(32, 32, 16), volumes=2, epochs=20, repeats=1
)
PAGES = pages.Size(5000, (240, 240, 155), window=(64, 64, 32), scans=5, opened=100, repeats=9)
QUICK_PAGES = pages.Size(40, (48, 48, 32), window=(32, 32, 16), scans=1, opened=2, repeats=1)
QUICK_LOADING = (loading.Size("small", 3, (40, 40, 40), 1.0, (32, 32, 32), epochs=1, repeats=1),)


class Part(StrEnum):
    """What can be measured on its own."""

    loading = "loading"
    reading = "reading"
    rounds = "rounds"
    throughput = "throughput"
    payload = "payload"
    deployed = "deployed"
    memory = "memory"
    pages = "pages"


def main(
    quick: Annotated[
        bool, typer.Option("--quick", help="The smallest sizes: a check, not a result.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
    only: Annotated[list[Part] | None, typer.Option(help="Measure only this part. Repeatable.")] = None,
) -> None:
    """Measure Wardround beside Flower's Ray backend, deployment and FedAvg, and a MONAI loop, in turn."""
    warnings.simplefilter("ignore")  # a user cannot act on a library's deprecation
    quiet_libraries()
    console, progress = Console(), Console(stderr=True)
    measures: dict[Part, Callable[[bool, Path], tuple[Comparison, ...]]] = {
        Part.payload: lambda _, folder: payload.measure(folder),
        Part.throughput: _throughput,
        Part.loading: _loading,
        Part.reading: lambda quick, folder: reading.measure(QUICK_READING if quick else READING, folder),
        Part.rounds: _rounds,
        Part.deployed: lambda quick, folder: deployed.measure(QUICK_ROUNDS if quick else DEPLOYED, folder),
        Part.memory: lambda quick, folder: memory.measure(QUICK_MEMORY if quick else MEMORY, folder),
        Part.pages: lambda quick, folder: pages.measure(QUICK_PAGES if quick else PAGES, folder),
    }
    machine = {"cores": os.cpu_count(), "load_average": os.getloadavg()[0], "quick": quick, **versions()}
    found: dict[str, tuple[Comparison, ...]] = {}
    for part in only or list(measures):
        with progress.status(f"measuring {part}"), tempfile.TemporaryDirectory() as folder:
            found[part.value] = measures[part](quick, Path(folder))
    if as_json:
        parts = {part: [c.as_json() for c in comparisons] for part, comparisons in found.items()}
        print(json.dumps({"machine": machine, "parts": parts}, indent=1))  # noqa: T201 - for programs
        return
    for name, comparisons in found.items():
        console.print(table(name, comparisons))
        for note in dict.fromkeys(c.note for c in comparisons):
            about = "; ".join(c.measure for c in comparisons if c.note == note)
            console.print(f"- {about}: {note}", style="dim", highlight=False)
        console.print()
    console.print(f"Load before the measurement and what was used: {machine}", style="dim", highlight=False)


def _loading(quick: bool, folder: Path) -> tuple[Comparison, ...]:
    with one_thread():
        found = [
            loading.measure(size, folder / str(number))
            for number, size in enumerate(QUICK_LOADING if quick else LOADING)
        ]
    return tuple(comparison for comparisons in found for comparison in comparisons)


def _rounds(quick: bool, folder: Path) -> tuple[Comparison, ...]:
    engines = {
        "Wardround, inline": engine("inline", workers=WORKERS, threads=1),
        "Flower's Ray backend": engine("ray", workers=WORKERS, threads=1),
    }
    return rounds.measure(QUICK_ROUNDS if quick else ROUNDS, engines, folder)


def _throughput(quick: bool, folder: Path) -> tuple[Comparison, ...]:
    size = QUICK_TRAINING if quick else TRAINING
    work = Workload.write(size, folder / "hospital")
    with one_thread():
        return *preparation.measure(work, size, folder), *throughput.measure(work, size, folder)


if __name__ == "__main__":
    typer.run(main)
