"""The hospitals of a scenario: their scans on disk and a site.yaml for each."""

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import yaml

from client.data.layouts.base import Skipped
from client.data.layouts.decathlon import Decathlon
from client.data.layouts.manifest import Manifest
from server.progress import Listener
from server.results import Event
from shared.files import write_atomically
from simulations.damage import damage
from simulations.partition import TABLE, deal
from simulations.phantoms import PhantomSite, write_site
from simulations.scenario import Phantoms, Scenario, real_data

SiteFiles = dict[str, Path]


def set_up(
    scenario: Scenario, out: Path, data: Path | None, progress: Listener
) -> tuple[SiteFiles, tuple[Event, ...]]:
    """Draw or deal out the scans; returns site -> site.yaml, and what of the data belongs to no site.

    What is there already from an earlier start of the same scenario is used again.
    """
    source = scenario.sites
    left: tuple[Event, ...] = ()
    arranged: dict[str, str | bool]
    if isinstance(source, Phantoms):
        folders = _draw(source, scenario, out, progress)
        arranged = {"layout": Decathlon.name, "one_patient_per_case": False}  # patients.csv says it
    else:
        task = scenario.study.task
        place = out / "data" / f"{source.digest()[:12]}-{task.truth}"
        dealt = deal(source, real_data(source, data), place, task)
        folders, left = dealt.folders, tuple(_event(skip) for skip in dealt.left)
        arranged = {"layout": Manifest.name, "one_patient_per_case": not dealt.has_patients}
    files = {name: _write_site_file(scenario, out, name, folders[name], arranged) for name in scenario.names}
    return files, left


def _draw(source: Phantoms, scenario: Scenario, out: Path, progress: Listener) -> dict[str, Path]:
    total = sum(h.patients for h in source.hospitals.values())
    folders, done = {}, 0
    for index, name in enumerate(scenario.names):
        hospital = source.hospitals[name]
        shape = "x".join(map(str, source.shape))
        folder = out / "data" / f"{name}-{index}-{hospital.digest()[:8]}-{source.seed}-{shape}"
        if not folder.exists():
            draft = folder.with_name(
                f"draft-{folder.name}"
            )  # damaged before it gets its name: all or nothing
            shutil.rmtree(draft, ignore_errors=True)
            write_site(
                draft,
                PhantomSite(patients=hospital.patients, shift=hospital.shift, shape=source.shape),
                seed=source.seed,
                site_index=index,
                workers=scenario.workers,
                progress=partial(_drawing, progress, before=done, total=total),
            )
            damage(draft, hospital.damaged)
            draft.rename(folder)
        folders[name] = folder
        done += hospital.patients
        progress("drawing phantoms", done, total)
    return folders


def _drawing(progress: Listener, written: int, *, before: int, total: int) -> None:
    progress("drawing phantoms", before + written, total)


def _event(skip: Skipped) -> Event:
    return Event(phase="partition", site="none", status="refused", reason=f"{skip.case}: {skip.reason}")


def _write_site_file(
    scenario: Scenario, out: Path, name: str, data: Path, arranged: Mapping[str, str | bool]
) -> Path:
    patients = data / TABLE
    policy = scenario.policy.model_dump(mode="json")
    if scenario.policy.studies == "ask":
        policy["studies"] = "any"  # nobody is there to be asked
    values = {
        "name": name,
        "data": str(data.resolve()),
        "patients": str(patients.resolve()) if patients.exists() else None,
        **arranged,
        "work": ".",
        "threads": scenario.threads_per_site,
        "seismometer": scenario.seismometer,
        "policy": policy,
    }
    file = out / "sites" / name / "site.yaml"
    with write_atomically(file) as path:
        path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return file
