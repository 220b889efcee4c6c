"""What a deployment costs: seconds of a round beyond training, beside Flower's own deployment and inline.

All three move the same U-Net's weights between four sites and a coordinator on this machine. Flower's own
computes nothing; ours trains, which is not counted, and validates, which is.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from client.site import Site
from server.results import Results
from server.store import FINISHED
from shared.errors import FederationError
from shared.model import build
from simulations.benchmarks import rounds, stock
from simulations.benchmarks.comparison import Comparison
from simulations.benchmarks.hospitals import prepared_sites, written
from simulations.deployment import Deployment
from simulations.engine import engine

OURS, FLOWER, INLINE = "Wardround, deployed", "Flower's own deployment", "Wardround, inline"
LIMIT_S = 900.0


def measure(size: rounds.Size, folder: Path) -> tuple[Comparison, ...]:
    """Deploy, tear down and measure the three in turn, `size.repeats` times over."""
    study = rounds.trivial_study(size)
    files = prepared_sites(
        folder, study, sites=size.sites, patients_per_site=size.patients_per_site, shape=(16, 16, 16)
    )
    study_file = written(study, folder)
    parameters = sum(p.numel() for p in build(study).parameters())
    found: dict[str, list[tuple[float, ...]]] = {OURS: [], FLOWER: [], INLINE: []}
    for repeat in range(size.repeats):
        found[OURS].append(_deployed(files, study_file, folder / "deployment"))
        found[FLOWER].append(
            tuple(
                stock.rounds_s(
                    folder / f"stock-{repeat}",
                    sites=size.sites,
                    rounds=size.rounds,
                    parameters=parameters,
                )
            )
        )
        inline = rounds.run(
            INLINE, engine("inline", workers=2, threads=1), files, study, folder / f"inline-{repeat}"
        )
        found[INLINE].append(inline.beyond_training_s)
    note = (
        f"{size.sites} sites and a coordinator on {os.cpu_count()} cores, weights of {parameters:,} float32; "
        "ours over TLS with signed requests and a database on disk, seconds in which no site trained, the "
        "validation of the round before included; Flower's without TLS and on no disk, FedAvg with nodes "
        "that send back what they get"
    )
    first = {name: tuple(run[0] for run in runs) for name, runs in found.items()}
    later = {name: tuple(s for run in runs for s in run[1:]) for name, runs in found.items()}
    return (
        _comparison("first round of a deployment, beyond training", first, note),
        _comparison("each later round of a deployment, beyond training", later, note),
    )


def _comparison(measure: str, samples: Mapping[str, tuple[float, ...]], note: str) -> Comparison:
    return Comparison(measure=measure, unit="s", better="lower", samples=samples, note=note)


def _deployed(files: list[Path], study_file: Path, folder: Path) -> tuple[float, ...]:
    lines = rounds.audit_lines(files)
    with Deployment(folder, {Site.read(path).name: path for path in files}) as deployment:
        run = deployment.start(study_file)
        row = deployment.wait(run, limit_s=LIMIT_S)
        if row.state != FINISHED:
            raise FederationError(f"{run} is {row.state}: {row.reason}")
        results = Results.read(deployment.results(run) / "results.json")
    return rounds.beyond_training_s(results, rounds.training_intervals(files, lines))
