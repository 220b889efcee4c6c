"""Runs as a coordinator would see them, drawn from a seed and summed up by the product's own statistics."""

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from scipy.special import expit

from server.priority_figures import (
    BrierParts,
    Calibration,
    Candidate,
    ChosenMap,
    Coefficient,
    Detection,
    ScoreCounts,
    SiteCalibration,
)
from server.report import Overlay
from server.results import (
    Comparison,
    Event,
    Judged,
    LocalModel,
    Patients,
    Pooled,
    Results,
    Round,
    SiteEntry,
    SiteRound,
    Skipped,
)
from server.scores import ReliabilityFigures, SegmentationFigures, VoxelCalibration, VoxelFigures
from shared.metrics import ScanResult, finish_segmentation, segmentation_sums, worst_and_spread
from shared.points import Points
from shared.reliability import brier_decomposition, finish_reliability, reliability_sums
from shared.study import Priority, Study, Task, Term, Urgent
from shared.sums import FloatArray, Sums
from shared.voxel_temperature import count_voxels, fit, judge, voxel_sums

CLASSES = ("tumour",)
SITES = {
    "hospital-a": (180, 60, 61),
    "hospital-b": (96, 31, 33),
    "hospital-c": (54, 19, 17),
    "hospital-d": (30, 9, 11),
}
PREVALENCE = dict(zip(SITES, (0.62, 0.55, 0.7, 0.48), strict=True))
TRUTH = {
    "intercept": -3.6,
    "finding_probability": 1.0,
    "volume_ml": 1.2,
    "finding_count": 0.3,
    "age": 0.3,
    "prior_cancer": 0.9,
    "symptom_score": 0.35,
    "days_since_last_scan": 0.2,
}


def rich_results() -> Results:
    """Four unequal sites, eight rounds, both baselines, differential privacy and a priority fit."""
    rng = np.random.default_rng(7)
    terms = tuple(Term(feature=name) for name in TRUTH if name != "intercept")
    study = Study(
        name="quickstart",
        task=Task(classes=CLASSES),
        priority=Priority(urgent=Urgent(outcome="urgent"), terms=terms),
    )
    federated = _model(rng, dict(zip(SITES, (0.88, 0.86, 0.83, 0.78), strict=True)), split=2)
    local = {}
    for own, (here, elsewhere) in zip(
        SITES, ((0.85, 0.58), (0.81, 0.6), (0.74, 0.46), (0.62, 0.4)), strict=True
    ):
        model = _model(
            rng,
            {site: here if site == own else elsewhere - 0.03 * k for k, site in enumerate(SITES)},
            split=2,
        )
        local[own] = LocalModel(own=model.sites[own], pooled=model.pooled, sites=model.sites)
    pooled = _model(rng, dict(zip(SITES, (0.89, 0.87, 0.85, 0.79), strict=True)), split=2)
    return Results(
        study=study.model_dump(mode="json"),
        engine="inline",
        seed=0,
        versions={
            "wardround": "0.1.0",
            "python": "3.11.7",
            "torch": "2.13.0",
            "flwr": "1.41.0",
            "monai": "1.6.1",
        },
        seconds=287.4,
        sites=_sites(),
        rounds=tuple(_round(rng, k) for k in range(1, 9)),
        evaluation=Comparison(
            federated=_judged(federated), local_only=local, pooled_training=_judged(pooled)
        ),
        calibration=_calibration(rng),
        voxels=_voxels(rng),
        events=(Event(phase="calibrate", site="hospital-d", status="failed", reason="policy.minimum"),),
    )


def minimal_results() -> Results:
    """One round in which every site failed, nothing evaluated or calibrated, a site with an evil name."""
    failed = SiteRound(status="failed", reason="data", seconds=0.4)
    evil = "<script>alert('$x$')</script>"
    none = Patients(train=0, validation=0, test=0)
    return Results(
        study=Study(name="nothing", task=Task(classes=CLASSES)).model_dump(mode="json"),
        engine="inline",
        seed=1,
        versions={"wardround": "0.1.0"},
        seconds=0.9,
        sites={evil: SiteEntry(patients=none, patient_unit="case"), "hospital-b": SiteEntry(patients=none)},
        rounds=(Round(round=1, seconds=0.5, sites={evil: failed, "hospital-b": failed}),),
    )


def tumour_free(scans: int = 5) -> SegmentationFigures:
    """Figures of scans without any tumour, all called so."""
    empty = np.array([0])
    scan = ScanResult(
        empty, empty, empty, predicted_finding=False, reference_finding=False, finding_probability=0.1
    )
    return SegmentationFigures.parse(
        finish_segmentation(segmentation_sums([scan] * scans, bins=100), CLASSES), "test"
    )


def results_on_points() -> Results:
    """Two sites, one with points of background only: Az 1 at hospital-a, 0.8 over all, none at hospital-b."""
    study = Study(name="vessels", task=Task(classes=("vessel",), truth="points"))
    scans = {
        "hospital-a": _on_points(np.array([0.9, 0.2, 0.3]), np.array([True, False, False])),
        "hospital-b": _on_points(np.array([0.95, 0.2, 0.3]), np.array([False, False, False])),
    }
    sums = {site: segmentation_sums([scan], bins=100) for site, scan in scans.items()}
    figures = {site: finish_segmentation(s, study.task.classes) for site, s in sums.items()}
    pooled = finish_segmentation(Sums.total(sums.values()), study.task.classes)
    model = Pooled.parse({"pooled": pooled, "sites": figures}, "test")
    alone = LocalModel(own=model.sites["hospital-a"], pooled=model.pooled, sites=model.sites)
    patients = Patients(train=3, validation=1, test=1)
    return Results(
        study=study.model_dump(mode="json"),
        engine="inline",
        seed=0,
        versions={"wardround": "0.1.0"},
        seconds=3.0,
        sites=dict.fromkeys(scans, SiteEntry(patients=patients)),
        rounds=(Round(round=1, seconds=1.0, sites=dict.fromkeys(scans, SiteRound(status="used"))),),
        evaluation=Comparison(federated=_judged(model), local_only={"hospital-a": alone}),
    )


def overlays() -> dict[str, Sequence[Overlay]]:
    """Two small pictures a site, as PNG."""
    rng = np.random.default_rng(3)
    return {
        site: [
            Overlay(f"case_{k:03d}, slice 14: Dice {d:.2f}", _picture(rng))
            for k, d in ((4, 0.91), (17, 0.78))
        ]
        for site in SITES
    }


def _scans(rng: np.random.Generator, site: str, n: int, quality: float) -> Sums:
    results = []
    for k in range(n):
        holds = k < round(n * PREVALENCE[site])
        dice = float(np.clip(rng.normal(quality, 0.07), 0.02, 0.98)) if holds else 0.0
        volume = int(rng.integers(200, 2000)) if holds else 0
        probability = float(expit(rng.normal(2.4 * quality if holds else -2.4 * quality, 1.4)))
        called = probability >= 0.5
        predicted = volume if holds else int(rng.random() > quality) * 40
        results.append(
            ScanResult(
                np.array([int(dice * volume)]),
                np.array([predicted]),
                np.array([volume]),
                predicted_finding=called,
                reference_finding=holds,
                finding_probability=probability,
            )
        )
    return segmentation_sums(results, bins=100)


def _on_points(probability: FloatArray, positive: npt.NDArray[np.bool_]) -> ScanResult:
    reference = np.array([positive.sum()])
    return ScanResult(reference, reference, reference, True, None, 0.9, Points(probability, positive))


def _model(rng: np.random.Generator, quality: dict[str, float], *, split: int) -> Pooled:
    sums = {site: _scans(rng, site, SITES[site][split], quality[site]) for site in SITES}
    figures = {site: finish_segmentation(s, CLASSES) for site, s in sums.items()}
    pooled = finish_segmentation(Sums.total(sums.values()), CLASSES)
    return Pooled.parse({"pooled": pooled, "sites": figures}, "test")


def _judged(model: Pooled) -> Judged:
    worst, spread = worst_and_spread({site: f.model_dump() for site, f in model.sites.items()})
    return Judged.parse({**model.model_dump(), "worst": worst, "spread": spread}, "test")


def _sites() -> dict[str, SiteEntry]:
    skipped = {
        "hospital-c": (
            Skipped(reason="label_missing", case="case_011"),
            Skipped(reason="shape_differs", case="case_029"),
        ),
        "hospital-d": (Skipped(reason="unreadable", count=3),),
    }
    return {
        site: SiteEntry(
            patients=Patients(train=train, validation=validation, test=test),
            skipped=skipped.get(site, ()),
            patient_unit="case" if site == "hospital-d" else "patient",
            epsilon=8.0,
            delta=1e-4,
            epsilon_spent=7.0 + 0.2 * k,
        )
        for k, (site, (train, validation, test)) in enumerate(SITES.items())
    }


def _round(rng: np.random.Generator, number: int) -> Round:
    quality = {
        site: top - 0.6 * np.exp(-number / 2.2)
        for site, top in zip(SITES, (0.89, 0.86, 0.84, 0.8), strict=True)
    }
    sites = {
        site: SiteRound(
            status="used",
            patients=patients[0],
            seconds=float(rng.uniform(3.5, 4.5) * patients[0] / 30),
            bytes_up=4_812_000,
            bytes_down=4_810_400,
        )
        for site, patients in SITES.items()
    }
    if number == 3:
        sites["hospital-d"] = SiteRound(status="late", reason="deadline", seconds=60.0, bytes_down=4_810_400)
    if number == 5:
        sites["hospital-c"] = SiteRound(
            status="refused", reason="not_finite", seconds=7.1, bytes_up=4_812_000, bytes_down=4_810_400
        )
    if number == 6:
        sites["hospital-b"] = SiteRound(status="failed", reason="data", seconds=0.3, bytes_down=4_810_400)
    return Round(
        round=number,
        seconds=max(s.seconds for s in sites.values()) + 1.3,
        sites=sites,
        validation=_model(rng, quality, split=1),
    )


def _calibration(rng: np.random.Generator) -> Calibration:
    log_odds = rng.normal(-1.1, 1.9, 160)
    urgent = (rng.random(160) < expit(log_odds)).astype(float)
    finding = expit(0.55 * log_odds + 1.1)
    fitted = expit(log_odds + rng.normal(0, 0.15, 160))
    before, after = (
        ReliabilityFigures.parse(finish_reliability(reliability_sums(p, urgent, bins=10)), "test")
        for p in (finding, fitted)
    )
    errors = (0.52, 0.61, 0.38, 0.22, 0.16, 0.41, 0.09, 0.19)
    return Calibration(
        before=before,
        after=after,
        coefficients={
            name: Coefficient(
                estimate=truth + float(rng.normal(0, 0.7)) * error, standard_error=error, truth=truth
            )
            for (name, truth), error in zip(TRUTH.items(), errors, strict=True)
        },
        thresholds={"urgent": 0.05, "asap": 0.15, "stat": 0.3},
        steps=6,
        converged=True,
        patients=160,
        urgent=int(urgent.sum()),
        between_sites=0.09,
        map=ChosenMap(
            kind="platt",
            why="platt: held-out log loss 0.4012, the lowest of 2 on 160 patients",
            candidates=(
                Candidate(kind="none", log_loss=0.4312, above_best=0.03, standard_error=0.01),
                Candidate(kind="platt", log_loss=0.4012, above_best=0.0, standard_error=0.0),
            ),
            patients=160,
            parameters=(0.1, 0.9, 0.0, 0.0),
        ),
        brier_before=_brier(finding, urgent),
        brier_after=_brier(fitted, urgent),
        sites={site: _site(site, k, fitted, urgent) for k, site in enumerate(SITES)},
        guarantees={
            "urgent": "At least 95 % of the urgent patients of hospital-a, with 95 % confidence.",
            "asap": "At least 80 %.",
            "stat": "At least 50 %.",
        },
        scores=ScoreCounts(edges=(-1.0, 0.0, 1.0), positives=(3, 9, 20, 40), negatives=(50, 20, 10, 8)),
    )


def _voxels(rng: np.random.Generator) -> VoxelCalibration:
    z = rng.normal(-4, 3, (60, 5000))
    label = (rng.random(z.shape) < expit(z)).astype(np.int64)
    sums = voxel_sums(
        count_voxels(expit(1.6 * one), truth, finding=[1], classes=1)
        for one, truth in zip(z, label, strict=True)
    )
    found = fit(sums, study="0" * 64)
    return VoxelCalibration(
        **found.model_dump(exclude={"study"}),
        used=True,
        sites=tuple(SITES),
        judged=tuple(SITES)[:3],
        before=VoxelFigures.parse(judge(sums), "test"),
        after=VoxelFigures.parse(judge(sums, found.temperature), "test"),
    )


def _brier(probability: FloatArray, urgent: FloatArray) -> BrierParts:
    parts = brier_decomposition(reliability_sums(probability, urgent, bins=10))
    return BrierParts.parse(parts, "test")


def _site(site: str, number: int, probability: FloatArray, urgent: FloatArray) -> SiteCalibration:
    rows = slice(40 * number, 40 * (number + 1))
    sums = reliability_sums(probability[rows], urgent[rows], bins=10)
    known = number < 3
    rule = ("site", "site", "lowest", "lowest")[number]
    detections = {
        tier: Detection(
            threshold=threshold,
            rule=rule,
            sensitivity=0.9 if known else None,
            sensitivity_interval=(0.8, 0.95) if known else None,
            specificity=0.5 if known else None,
            specificity_interval=(0.4, 0.6) if known else None,
        )
        for tier, threshold in (("urgent", 0.05), ("asap", 0.15), ("stat", 0.3))
    }
    pooled = {
        tier: one.model_copy(update={"rule": "pooled", "sensitivity": 0.81 if known else None})
        for tier, one in detections.items()
    }
    return SiteCalibration(
        patients=SITES[site][1],
        urgent=5,
        in_folds=SITES[site][1] if known else 0,
        intercept=-3.6 + 0.1 * number,
        after=ReliabilityFigures.parse(finish_reliability(sums), "test") if known else None,
        in_the_large=0.12 if known else None,
        in_the_large_error=0.3 if known else None,
        slope=0.93 if known else None,
        slope_error=0.2 if known else None,
        tiers=detections,
        pooled_tiers=pooled,
        guarantee="At least 95 % of this site's urgent patients.",
    )


def _picture(rng: np.random.Generator) -> bytes:
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    body = (x**2 / 0.8 + y**2 / 0.6 < 1) * 0.45
    cx, cy = rng.uniform(-0.3, 0.3, 2)
    tumour = (x - cx) ** 2 + (y - cy) ** 2
    scan = body + 0.35 * (tumour < 0.04) + rng.normal(0, 0.04, x.shape)
    figure = Figure(figsize=(2, 2), dpi=120)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(scan, cmap="gray", vmin=0, vmax=1)
    axes.contour(tumour, levels=[0.04], colors="#e69f00", linewidths=2)
    axes.contour(tumour * 1.15 + 0.01 * x, levels=[0.04], colors="#56b4e9", linewidths=2)
    axes.axis("off")
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()
