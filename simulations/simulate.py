"""One simulated study from scenario to report: sites, engine, baselines, results.json, report.html."""

import csv
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from safetensors.numpy import load_file

from client.app import app as client_app
from client.policy import RELEASABLE
from client.site import Site
from server.app import app as server_app
from server.priority_figures import Calibration
from server.progress import forget, listen
from server.report import Overlay, write_report
from server.results import Results, Skipped
from server.statistics_file import FILE, PAGE, Statistics
from shared.calibration import INTERCEPT, is_intercept
from shared.errors import ConfigError
from shared.files import write_atomically
from simulations.baselines import compare
from simulations.deployment import deploy
from simulations.engine import engine, run_config
from simulations.faults import FaultyClientApp
from simulations.outcomes import TERMS, TRUE_COEFFICIENTS
from simulations.pretraining import public_start
from simulations.reading_room import read_scans
from simulations.scenario import Phantoms, Scenario
from simulations.sites import set_up

Progress = Callable[[str, int, int], None]
MARKER = "scenario.yaml"


@dataclass(frozen=True)
class Simulation:
    """A scenario with the folder it is run in."""

    scenario: Scenario
    out: Path
    engine: str = "inline"
    data: Path | None = None

    def run(self, *, resume: bool, progress: Progress) -> Results:
        """Run everything; raises WardroundError."""
        self._claim(resume=resume)
        sites, left = set_up(self.scenario, self.out, self.data, progress)
        start = self._start(progress)
        self._federate(sites, start, resume=resume, progress=progress)
        results = Results.read(self.out / "results.json")
        results = self._complete(results, sites, start, progress)
        results = results.model_copy(update={"events": (*left, *results.events)})
        results.write(self.out / "results.json")
        write_report(results, self.out / "report.html", overlays=_overlays(sites))
        if self.scenario.worklist_scans:
            trained = {name: path for name, path in sites.items() if name in results.sites}
            seed, now = self.scenario.study.seed, datetime.now(UTC)
            read_scans(trained, self.scenario.worklist_scans, seed=seed, now=now, progress=progress)
        return results

    def describe(self, *, progress: Progress) -> Statistics:
        """Set the sites up, ask them for their statistics and train nothing; raises WardroundError."""
        self._claim(resume=False, stale=(FILE, PAGE))
        sites, _ = set_up(_answering(self.scenario), self.out, self.data, progress)
        self._federate(sites, None, resume=False, progress=progress, statistics=True)
        return Statistics.read(self.out / FILE)

    def _claim(self, *, resume: bool, stale: Sequence[str] = ("results.json", "report.html")) -> None:
        marker = self.out / MARKER
        if self.out.exists() and not self.out.is_dir():
            raise ConfigError(f"{self.out} is a file, expected a folder. Choose another --out.")
        if self.out.exists() and any(self.out.iterdir()) and not marker.exists():
            raise ConfigError(f"{self.out} holds files that are not a Wardround run. Choose another --out.")
        if resume and not marker.exists():
            raise ConfigError(f"{self.out} holds no run to resume. Start it without --resume first.")
        if resume:
            return  # the marker keeps saying what the run was started with
        with write_atomically(marker) as path:
            path.write_text(self.scenario.to_yaml(), encoding="utf-8")
        for name in stale:
            (self.out / name).unlink(missing_ok=True)

    def _start(self, progress: Progress) -> Path | None:
        study = self.scenario.study
        if study.start == "random":
            return None
        threads = self.scenario.workers * self.scenario.threads_per_site
        return public_start(study, self.out / "start", threads=threads, progress=progress)

    def _federate(
        self,
        sites: dict[str, Path],
        start: Path | None,
        *,
        resume: bool,
        progress: Progress,
        statistics: bool = False,
    ) -> None:
        study_file = self.out / "study.yaml"
        with write_atomically(study_file) as path:
            path.write_text(self.scenario.study.to_yaml(), encoding="utf-8")
        if self.engine == "deploy":
            if self.scenario.faults:
                raise ConfigError("faults are put in by the engines inline and ray; deploy has none.")
            how = {"resume": resume, "statistics": statistics}
            deploy(sites, study_file, self.out, start=start, progress=progress, **how)
            return
        client = FaultyClientApp(client_app, self.scenario.faults) if self.scenario.faults else client_app
        run = engine(self.engine, workers=self.scenario.workers, threads=self.scenario.threads_per_site)
        config = run_config(
            study_file,
            self.out,
            sites=len(sites),
            engine=self.engine,
            resume=resume,
            start=start,
            statistics=statistics,
        )
        listen(progress)
        try:
            run(server_app, client, list(sites.values()), config)
        finally:
            forget(progress)

    def _complete(
        self, results: Results, sites: dict[str, Path], start: Path | None, progress: Progress
    ) -> Results:
        """Add what only one machine can know: baselines, names of skipped cases, the phantoms' truth."""
        enrolled = {name: Site.read(path) for name, path in sites.items() if name in results.sites}
        federated = results.evaluation.federated
        found = compare(
            enrolled,
            self.scenario.study,
            self.scenario.baselines,
            start=None if start is None else load_file(start),
            workers=self.scenario.workers,
            progress=progress,
        )
        named = {
            name: entry.model_copy(update={"skipped": _skipped(enrolled[name])})
            for name, entry in results.sites.items()
        }
        return results.model_copy(
            update={
                "evaluation": found.model_copy(update={"federated": federated}),
                "sites": named,
                "calibration": self._with_truth(results.calibration),
            }
        )

    def _with_truth(self, calibration: Calibration | None) -> Calibration | None:
        priority = self.scenario.study.priority
        known = isinstance(self.scenario.sites, Phantoms) and priority is not None
        if calibration is None or priority is None or not known or priority.urgent.outcome != "urgent":
            return calibration
        stated = {term.feature: (term.transform, term.centre, term.scale) for term in TERMS}
        asked = {term.feature: (term.transform, term.centre, term.scale) for term in priority.terms}
        if asked != stated:
            return calibration  # another parametrisation has other true coefficients
        coefficients = {
            name: c.model_copy(update={"truth": TRUE_COEFFICIENTS.get(_common(name))})
            for name, c in calibration.coefficients.items()
        }
        return calibration.model_copy(update={"coefficients": coefficients})


def _common(name: str) -> str:
    """Name a coefficient as the phantoms know it: they are as often urgent at one site as at another."""
    return INTERCEPT if is_intercept(name) else name


def _answering(scenario: Scenario) -> Scenario:
    """Let the sites answer for statistics, unless the scenario itself says what they release."""
    policy = scenario.policy
    if "release" in policy.model_fields_set:
        return scenario
    released = policy.model_copy(update={"release": RELEASABLE})
    return scenario.model_copy(update={"policy": released})


def _skipped(site: Site) -> tuple[Skipped, ...]:
    path = site.work / "cache" / "skipped.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(Skipped(case=row["case"], reason=row["reason"]) for row in csv.DictReader(file))


def _overlays(sites: dict[str, Path]) -> dict[str, list[Overlay]]:
    found = {}
    for name, path in sites.items():
        folder = path.parent / "overlays"
        if (folder / "captions.json").exists():
            captions = json.loads((folder / "captions.json").read_text(encoding="utf-8"))
            found[name] = [
                Overlay(caption=caption, png=(folder / file).read_bytes())
                for file, caption in captions.items()
            ]
    return found


def quiet_libraries() -> None:
    """Keep the console for the run itself."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
