"""Phantom scans of unlike scanners, each read once by a trained model."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from client.data import cache
from client.data.layouts.decathlon import Decathlon
from client.scoring import score
from shared.errors import DataError
from shared.model import TrainedModel
from simulations.anatomy import SiteShift
from simulations.outcomes import Burden
from simulations.phantoms import PhantomSite, write_site
from simulations.trial.cohort import ReadScan

SHIFTS = (
    SiteShift(name="a", bias_field=0.06, prevalence=0.6, tumour_contrast=1.5),
    SiteShift(
        name="b", intensity_scale=90, gamma=1.6, noise=0.04, spacing_mm=(1.3, 1.3, 2.0), prevalence=0.75
    ),
    SiteShift(
        name="c", intensity_scale=1200, intensity_offset=-300, gamma=0.75, prevalence=0.5, orientation="PIR"
    ),
    SiteShift(name="d", intensity_scale=220, noise=0.05, spacing_mm=(1.4, 1.4, 1.4), prevalence=0.35),
    SiteShift(name="e", bias_field=0.1, noise=0.06, tumour_contrast=1.1, prevalence=0.55),
    SiteShift(
        name="f", intensity_scale=400, gamma=1.2, tumour_contrast=1.8, prevalence=0.45, orientation="LPS"
    ),
)
"""The scanners and the patients in front of them, one a hospital."""


def read_scans(
    model: TrainedModel, folder: Path, *, scans: int, seed: int, progress: Callable[[int, int], None]
) -> list[Sequence[ReadScan]]:
    """Draw `scans` phantoms of every scanner below `folder` and have the model read them.

    Raises
    ------
    DataError
        A scan that was drawn could not be read.
    """
    found: list[Sequence[ReadScan]] = []
    study = model.study
    shape = study.preprocessing.shape or (32, 32, 24)
    for index, shift in enumerate(SHIFTS):
        site, prepared = folder / shift.name, folder / f"{shift.name}-cache"
        write_site(site, PhantomSite(patients=scans, shift=shift, shape=shape), seed=seed, site_index=index)
        data = cache.prepare(
            site,
            layout=Decathlon.name,
            patients_csv=site / "patients.csv",
            study=study,
            cache_folder=prepared,
        )
        if data.skipped:
            raise DataError(f"{len(data.skipped)} of {scans} phantoms could not be read: {data.skipped[0]}.")
        with (site / "truth.csv").open(encoding="utf-8", newline="") as file:
            truth = {
                row["case"]: Burden(float(row["tumour_ml"]), int(row["tumour_count"]))
                for row in csv.DictReader(file)
            }
        own = []
        for one in score(model.network(), data.cases, study, cache_folder=prepared):
            own.append(ReadScan(truth[one.case.case], one.measured))
            progress(index * scans + len(own), len(SHIFTS) * scans)
        found.append(own)
    return found
