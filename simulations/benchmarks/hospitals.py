"""Phantom hospitals with their site.yaml files, and the studies that the benchmarks put to them."""

from pathlib import Path
from typing import Any

import yaml

from client.data import cache
from client.site import Site
from shared.files import write_atomically
from shared.study import Study
from simulations.phantoms import write_dataset
from simulations.scenario import Scenario
from simulations.shapes import Shape

QUICKSTART = Path(__file__).parents[1] / "quickstart.yaml"
SEED = 2026


def quickstart_study(**sections: dict[str, Any]) -> Study:
    """Take the quickstart's study, without its priority fit, with some values of its sections replaced."""
    values = Scenario.read(QUICKSTART).study.model_dump(mode="json", exclude={"priority"})
    for name, replaced in sections.items():
        values[name] = {**values[name], **replaced}
    return Study.parse(values, f"{QUICKSTART} as changed by the benchmark")


def written(study: Study, folder: Path) -> Path:
    """Write study.yaml into `folder`; returns its path."""
    path = folder / "study.yaml"
    with write_atomically(path) as draft:
        draft.write_text(study.to_yaml(), encoding="utf-8")
    return path


def prepared_sites(
    folder: Path, study: Study, *, sites: int, patients_per_site: int, shape: Shape
) -> list[Path]:
    """Write hospitals and fill their caches before any clock runs; return their site.yaml files."""
    written = write_dataset(
        folder / "data", sites=sites, patients_per_site=patients_per_site, shape=shape, seed=SEED
    )
    files = []
    for data in written:
        path = folder / "sites" / data.name / "site.yaml"
        values = {
            "name": data.name,
            "data": str(data.resolve()),
            "patients": str((data / "patients.csv").resolve()),
            "work": ".",
            "seismometer": False,
            "policy": {"studies": "any", "minimum_patients": 1},
        }
        with write_atomically(path) as draft:
            draft.write_text(yaml.safe_dump(values), encoding="utf-8")
        site = Site.read(path)
        cache.prepare(
            site.data,
            layout=site.layout,
            patients_csv=site.patients,
            study=study,
            cache_folder=site.work / "cache",
        )
        files.append(path)
    return files
