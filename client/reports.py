"""What a finished run leaves at the hospital: predictions, worklist, pictures, seismometer's report."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from client.data.cache import SiteData
from client.data.split import Split
from client.findings import find
from client.kept import ScanRow
from client.overlays import overlay, write_overlay
from client.site import Site
from client.site_log import site_log
from client.uncertainty import read
from client.validation.seismometer_report import render_many, write_inputs
from client.worklist.run_table import worklist, write_table
from shared.files import write_atomically
from shared.model import TrainedModel
from shared.priority import CalibratedPriority, usable_rows
from shared.study import Tiers
from shared.unlabelled import UNLABELLED

LISTED_SPLIT: Split = "test"


def write_site_reports(
    site: Site, data: SiteData, rows: Sequence[ScanRow], model: TrainedModel, *, cache_folder: Path
) -> tuple[int, str]:
    """Write everything into the site's work folder; returns scans listed and seismometer's state.

    The state is "written", "off", "no outcome" or "failed"; the site's log says why. The worklist holds the
    test patients: scans that neither training nor calibration has seen, as a new day's scans would be.
    """
    listed = [row for row in rows if row.split == LISTED_SPLIT]
    _write_examples(site, data, listed, model, cache_folder=cache_folder)
    if model.priority is None or model.study.priority is None:
        _write_predictions(site, rows, None)
        return 0, "no outcome"
    usable = _usable(site, listed, model.priority)
    order = worklist({row.case: row.features for row in usable}, model.priority, site=site.name)
    write_table(site.work / "worklist.csv", order)
    known = [row for row in usable if row.outcome is not None]
    judged = _predictions(known, model, site.name)
    _write_predictions(site, rows, model)
    if not site.seismometer:
        return len(order), "off"
    if judged.empty:
        return len(order), "no outcome"
    return len(order), _write_seismometer(site, judged, model.priority.tiers_at(site.name))


def _usable(site: Site, rows: Sequence[ScanRow], priority: CalibratedPriority) -> list[ScanRow]:
    """Keep the scans whose features the score can take; the others are named in the site's log."""
    good = usable_rows(priority.terms, [row.features for row in rows])
    for row, usable in zip(rows, good, strict=True):
        if not usable:
            site_log(site).warning("%s has no priority: a value cannot be; see predictions.csv", row.case)
    return [row for row, usable in zip(rows, good, strict=True) if usable]


def _predictions(
    rows: Sequence[ScanRow], model: TrainedModel | None, site: str | None = None
) -> pd.DataFrame:
    priority = None if model is None else model.priority
    table = []
    for row in rows:
        usable = priority is not None and usable_rows(priority.terms, [row.features])[0]
        found = priority.prioritise(row.features, site) if priority is not None and usable else None
        table.append(
            {
                "case": row.case,
                "patient": row.patient,
                "split": row.split,
                "probability": math.nan if found is None else found.probability,
                "tier": "" if found is None else found.tier,
                "urgent": row.outcome,
                **row.features,
                "dice": float(np.mean(row.dice)),
            }
        )
    return pd.DataFrame(table)


def _write_predictions(site: Site, rows: Sequence[ScanRow], model: TrainedModel | None) -> None:
    write_table(site.work / "predictions.csv", _predictions(rows, model, site.name))


def _write_seismometer(site: Site, rows: pd.DataFrame, tiers: Tiers) -> str:
    folder = site.work / "seismometer"
    thresholds = np.clip([tiers.stat, tiers.asap, tiers.urgent], 0.01, 0.99).tolist()  # it takes no other
    write_inputs(folder, rows, site=site.name, thresholds=thresholds)
    (fault,) = render_many([(folder, folder / "report.html")], workers=1)
    if fault is None:
        return "written"
    with write_atomically(folder / "failure.txt") as path:
        path.write_text(fault, encoding="utf-8")
    return "failed"


def _write_examples(
    site: Site, data: SiteData, rows: Sequence[ScanRow], model: TrainedModel, *, cache_folder: Path
) -> None:
    """Best, median and worst Dice among the scans that hold a finding, with captions that name no case."""
    cases = {case.case: case for case in data.split(LISTED_SPLIT)}
    ranked = sorted(
        (row for row in rows if any(cases[row.case].reference_voxels)),
        key=lambda row: (-np.mean(row.dice), row.case),
    )
    if not ranked:
        return
    chosen = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
    net = model.network().to(site.device)
    captions = {}
    for name, row in chosen.items():
        case = cases[row.case]
        image = case.image(cache_folder)
        readings = read([net], image, model.study, flips=model.study.evaluation.flips)
        findings = find(
            readings.probabilities,
            model.study,
            affine=case.affine,
            source_shape=case.source_shape,
            source_affine=case.source_affine,
        )
        label = np.asarray(case.label(cache_folder))
        picture = overlay(image[0], np.where(label == UNLABELLED, 0, label), findings.segmentation)
        write_overlay(site.work / "overlays" / f"{name}.png", picture)
        captions[f"{name}.png"] = f"{name} of {len(ranked)}: Dice {np.mean(row.dice):.2f}"
    with write_atomically(site.work / "overlays" / "captions.json") as path:
        path.write_text(json.dumps(captions, indent=1), encoding="utf-8")
