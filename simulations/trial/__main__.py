"""`python -m simulations.trial MODEL`: how well the priority is calibrated where the truth is known."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from client.printing import Quiet, out, progress_bars
from server.calibration import Calibrated
from shared.errors import ConfigError
from shared.model import TrainedModel
from shared.study import Priority, Study
from simulations.outcomes import TERMS
from simulations.trial.cohort import HOSPITALS
from simulations.trial.judging import SMALLEST_TENTH, Tenth, Trial
from simulations.trial.measured import read_scans

TIERS = ("urgent", "asap", "stat")
Rule = tuple[str, bool]
"""A tier, and whether its bound is the pooled one."""


class Record:
    """What the repetitions found."""

    def __init__(self, targets: dict[str, float]) -> None:
        self.targets = targets
        self.met: Counter[Rule] = Counter()
        self.lowest: dict[Rule, dict[str, float]] = {}
        self.gaps: list[float] = []
        self.maps: Counter[str] = Counter()

    def add(self, trial: Trial, found: Calibrated) -> list[Tenth]:
        """Judge one calibration; returns its tenths."""
        probabilities = trial.probabilities(found.priority)
        tenths = trial.tenths(probabilities)
        self.gaps.append(max(abs(t.calibrated - t.true) for t in tenths if t.patients >= SMALLEST_TENTH))
        self.maps[found.priority.recalibration.kind] += 1
        for tier, target in self.targets.items():
            for pooled in (False, True):
                at = trial.sensitivities(found, probabilities, tier, pooled=pooled)
                self.met[tier, pooled] += all(value >= target for value in at.values())
                lowest = self.lowest.setdefault((tier, pooled), dict.fromkeys(at, 1.0))
                lowest.update({site: min(lowest[site], value) for site, value in at.items()})
        return tenths


def trial(
    model_dir: Annotated[Path, typer.Argument(metavar="MODEL", help="The model/ folder of a phantom study.")],
    scans: Annotated[int, typer.Option(min=20, help="Phantom scans that the model reads, a hospital.")] = 200,
    repetitions: Annotated[int, typer.Option(min=1, help="Draws of all patients.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal figures.")] = 2026,
    quiet: Quiet = False,
) -> None:
    """Calibrate the priority of 5,000 patients of 6 unlike hospitals, again and again; compare with truth."""
    model = TrainedModel.load(model_dir)
    study = with_terms_of_the_truth(model.study)
    with tempfile.TemporaryDirectory(prefix="wardround-") as folder, progress_bars(quiet) as progress:
        read = read_scans(
            model,
            Path(folder),
            scans=scans,
            seed=seed,
            progress=lambda done, total: progress("reading phantoms", done, total),
        )
        hospitals = Trial(study, read, seed=seed)
        record = Record({tier: getattr(hospitals.priority.sensitivity, tier) for tier in TIERS})
        first: list[Tenth] = []
        for repetition in range(repetitions):
            tenths = record.add(hospitals, hospitals.calibrate(repetition))
            first = first or tenths
            progress("repetitions", repetition + 1, repetitions)
    out.print(calibration_table(first))
    chosen = ", ".join(f"{kind} {count}" for kind, count in record.maps.most_common())
    middle, highest = np.median(record.gaps), np.max(record.gaps)
    within = sum(gap <= 0.02 for gap in record.gaps)
    out.print(f"maps chosen: {chosen}")
    out.print(
        f"largest difference of a tenth that holds {SMALLEST_TENTH} of 5,000 patients: median of all draws "
        f"{middle:.3f}, highest {highest:.3f}; at most 0.02 in {within} of {repetitions}"
    )
    out.print(sensitivity_table(record, repetitions))


def with_terms_of_the_truth(study: Study) -> Study:
    """Give a phantom study's priority the terms by which phantoms are urgent, and calibrated tiers."""
    if study.priority is None:
        raise ConfigError(f"study {study.name} has no priority section. Give a phantom study's model.")
    values = {**study.priority.model_dump(), "terms": TERMS, "tiers": None}
    return study.model_copy(update={"priority": Priority.parse(values, "the trial's priority")})


def calibration_table(tenths: list[Tenth]) -> Table:
    """One draw: calibrated against true probability."""
    table = Table(title="First draw: calibrated against true probability of 24,000 fresh patients")
    for heading in ("probability", "of 5,000", "mean calibrated", "mean true", "difference"):
        table.add_column(heading, justify="right")
    for t in tenths:
        means = (f"{t.calibrated:.3f}", f"{t.true:.3f}", f"{t.calibrated - t.true:+.3f}")
        table.add_row(f"{t.lower:.1f} to {t.lower + 0.1:.1f}", str(t.patients), *means)
    return table


def sensitivity_table(record: Record, repetitions: int) -> Table:
    """How often a tier held its share of urgent patients at all sites, by both rules."""
    table = Table(
        title=f"Urgent patients held at every site, in how many of {repetitions} draws; lowest of each"
    )
    for heading in ("tier", "target", "rule", "met", *(h.name.removeprefix("hospital-") for h in HOSPITALS)):
        table.add_column(heading, justify="right")
    for (tier, pooled), lowest in record.lowest.items():
        rule, count = "pooled" if pooled else "default", str(record.met[tier, pooled])
        shown = (f"{value:.3f}" for value in lowest.values())
        table.add_row(tier, f"{record.targets[tier]:.2f}", rule, count, *shown)
    return table


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(trial)
    app()
