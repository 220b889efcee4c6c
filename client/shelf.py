"""Reports that lie at the site, found where programs leave them and never by a path that somebody gave.

    work/seismometer/report.html        of the last run, patient-derived
    work/overlays/                      three test scans of the last run, with captions
    work/predictions.csv, worklist.csv  of the last run, with the names of cases
    work/reports/                       run reports that the coordinator handed over, put there by an engineer
    ../../report.html                   of the simulation that this site is part of

A link that leads out of the folder is left out.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from client.site import Site

Kind = Literal["validation", "run", "picture", "table"]
MOST_RESULTS_BYTES = 2**26
MOST_CAPTIONS_BYTES = 2**16
TABLES = {"predictions.csv": "Predictions of every scan", "worklist.csv": "Test scans in reading order"}


@dataclass(frozen=True)
class Report:
    """One file. `about`: the study or caption, `run`: what the file says it is of; None where it does not."""

    id: str
    kind: Kind
    title: str
    path: Path
    when: datetime
    bytes: int
    about: str | None = None
    run: str | None = None

    @property
    def is_page(self) -> bool:
        """Whether a browser shows it as a page."""
        return self.path.suffix == ".html"


def reports_of(site: Site) -> list[Report]:
    """List them, the newest first."""
    return sorted(_found(site), key=lambda one: (one.when, one.id), reverse=True)


def failure_of(site: Site) -> str | None:
    """Say why the last run has no report of seismometer; None if it has, or if none was asked for."""
    failure, report = site.work / "seismometer" / "failure.txt", site.work / "seismometer" / "report.html"
    try:
        if report.exists() and report.stat().st_mtime >= failure.stat().st_mtime:
            return None
        return failure.read_text(encoding="utf-8", errors="replace")[:2000]
    except FileNotFoundError:
        return None


def _found(site: Site) -> Iterator[Report]:
    work = site.work.resolve()
    yield from _of(work, work / "seismometer" / "report.html", "validation", "Validation by seismometer")
    captions = _json(work / "overlays" / "captions.json", MOST_CAPTIONS_BYTES)
    for path in sorted((work / "overlays").glob("*.png")):
        yield from _of(work, path, "picture", path.stem, about=str(captions.get(path.name, path.stem)))
    for name, title in TABLES.items():
        yield from _of(work, work / name, "table", title)
    for path in sorted((work / "reports").rglob("*.html")):
        yield from _run_report(work / "reports", path)
    simulation = work.parent.parent
    if work.parent.name == "sites" and site.name in _sites(simulation / "results.json"):
        yield from _run_report(simulation, simulation / "report.html")


def _run_report(base: Path, path: Path) -> Iterator[Report]:
    """Name its study as results.json beside it does."""
    results = _json(path.with_name("results.json"), MOST_RESULTS_BYTES)
    study = results.get("study")
    name = study.get("name") if isinstance(study, dict) else None
    run = results.get("run")
    title = "Run report" if path.stem == "report" else f"Run report {path.stem}"
    yield from _of(base, path, "run", title, about=name, run=None if run is None else str(run))


def _of(
    base: Path, path: Path, kind: Kind, title: str, *, about: str | None = None, run: str | None = None
) -> Iterator[Report]:
    if not path.is_file() or not path.resolve().is_relative_to(base.resolve()):
        return
    found = path.stat()
    when = datetime.fromtimestamp(found.st_mtime, UTC)
    name = hashlib.sha256(f"{kind} {path}".encode()).hexdigest()[:16]
    yield Report(name, kind, title, path, when, found.st_size, about, run)


def _sites(path: Path) -> set[str]:
    """Return the sites of a simulation; empty where there is none."""
    sites = _json(path, MOST_RESULTS_BYTES).get("sites")
    if isinstance(sites, dict):
        return set(sites)
    return {str(one.get("name")) for one in sites or () if isinstance(one, dict)}


def _json(path: Path, most_bytes: int) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes()) if path.stat().st_size <= most_bytes else None
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
