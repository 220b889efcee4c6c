"""Judge an exported model on a folder of labelled scans that it may never have seen."""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from client.data import cache
from client.scoring import Scored, score
from client.uncertainty import AXES
from shared.calibration import INTERCEPT
from shared.error_detection import error_sums, finish_errors
from shared.errors import DataError
from shared.metrics import finish_segmentation, segmentation_sums
from shared.model import TrainedModel
from shared.reliability import finish_reliability, reliability_sums
from shared.study import Axis, Study

SPLITS = ("all", "train", "validation", "test")


@dataclass(frozen=True)
class Evaluated:
    """JSON-ready figures, and what could not be used, by reason."""

    figures: dict[str, Any]
    calibration: dict[str, Any] | None
    skipped: dict[str, int]
    split: str
    error_detection: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Everything under stable keys."""
        return {
            "split": self.split,
            "segmentation": self.figures,
            "calibration": self.calibration,
            "error_detection": self.error_detection,
            "skipped": self.skipped,
        }


def evaluate_folder(
    model: TrainedModel,
    data: Path,
    *,
    split: str = "all",
    layout: str | None = None,
    patients_csv: Path | None = None,
    uncertainty: bool = False,
    others: Sequence[nn.Module] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> Evaluated:
    """Score `model` on the scans of `data`; `split` keeps those that the study's hash puts there.

    A patients.csv beside the scans is used when none is given. `others` are networks of an ensemble with the
    model's own. With `uncertainty` each scan is also read mirrored, along the study's flips or, where it has
    none, along all axes, and the figures say how well the uncertainty ranks errors. Raises DataError when no
    case is left.
    """
    report = progress or _silent
    table = patients_csv or next((p for p in [data / "patients.csv"] if p.exists()), None)
    study = model.study
    with tempfile.TemporaryDirectory(prefix="wardround-") as folder:
        found = cache.prepare(
            data,
            layout=layout,
            patients_csv=table,
            study=study,
            cache_folder=Path(folder),
            progress=lambda done, total: report("preparing", done, total),
        )
        cases = [c for c in found.cases if split in ("all", c.split)]
        skipped = dict(Counter(s.reason for s in found.skipped))
        if not cases:
            raise DataError(f"{data} has no usable case in split {split!r}; skipped: {skipped or 'none'}.")
        scored = []
        flips = _flips(study) if uncertainty else study.evaluation.flips
        for item in score(
            model.network(), cases, study, cache_folder=Path(folder), flips=flips, others=others
        ):
            scored.append(item)
            report("scoring", len(scored), len(cases))
    sums = segmentation_sums([s.result for s in scored], bins=study.evaluation.score_bins)
    return Evaluated(
        figures=finish_segmentation(sums, study.task.classes),
        calibration=_calibration(model, scored),
        skipped=skipped,
        split=split,
        error_detection=_error_detection(scored, study, flips, 1 + len(others)) if uncertainty else None,
    )


def _flips(study: Study) -> tuple[Axis, ...]:
    return study.evaluation.flips or AXES[: study.model.dimensions]


def _error_detection(
    scored: list[Scored], study: Study, flips: tuple[Axis, ...], networks: int
) -> dict[str, Any] | None:
    """How well uncertainty ranks errors of scans and of findings; None where only points are labelled.

    A scan is wrong where the model is about whether it holds a finding, or where its mean Dice over classes
    is below the study's acceptable one. A finding is wrong where it overlaps no reference.
    """
    known = [s for s in scored if s.result.reference_finding is not None]
    if not known:
        return None
    bins = study.evaluation.score_bins
    scans = [(s.measured["uncertainty"], _wrong(s, study)) for s in known]
    findings = [
        (f.uncertainty, spurious) for s in known for f, spurious in zip(s.findings, s.spurious, strict=True)
    ]
    return {
        "networks": networks,
        "flips": list(flips),
        "acceptable_dice": study.evaluation.acceptable_dice,
        "scans": finish_errors(error_sums(*_columns(scans), bins=bins)),
        "findings": finish_errors(error_sums(*_columns(findings), bins=bins)),
    }


def _wrong(scored: Scored, study: Study) -> bool:
    result = scored.result
    missed_or_invented = result.predicted_finding != result.reference_finding
    return missed_or_invented or float(np.mean(scored.dice)) < study.evaluation.acceptable_dice


def _columns(
    rows: Sequence[tuple[float | None, bool]],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    return np.array([row[0] for row in rows], np.float64), np.array([row[1] for row in rows], np.bool_)


def _silent(*_: str | int) -> None:
    pass


def _calibration(model: TrainedModel, scored: list[Scored]) -> dict[str, Any] | None:
    known = [s for s in scored if s.case.outcome is not None]
    if model.priority is None or model.study.priority is None or not known:
        return None
    if INTERCEPT not in model.priority.coefficients:
        return None  # these scans belong to none of the sites that an intercept was fitted for
    probability = np.array([model.priority.prioritise(s.features).probability for s in known])
    outcome = np.array([s.case.outcome for s in known])
    return finish_reliability(reliability_sums(probability, outcome, bins=model.study.priority.bins))
