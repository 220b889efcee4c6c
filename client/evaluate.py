"""Judge an exported model on a folder of labelled scans that it may never have seen."""

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from client.data import cache
from client.scoring import Scored, score
from shared.errors import DataError
from shared.metrics import finish_segmentation, segmentation_sums
from shared.model import TrainedModel
from shared.reliability import finish_reliability, reliability_sums

SPLITS = ("all", "train", "validation", "test")


@dataclass(frozen=True)
class Evaluated:
    """JSON-ready figures, and what could not be used, by reason."""

    figures: dict[str, Any]
    calibration: dict[str, Any] | None
    skipped: dict[str, int]
    split: str

    def as_json(self) -> dict[str, Any]:
        """Everything under stable keys."""
        return {
            "split": self.split,
            "segmentation": self.figures,
            "calibration": self.calibration,
            "skipped": self.skipped,
        }


def evaluate_folder(
    model: TrainedModel,
    data: Path,
    *,
    split: str = "all",
    layout: str | None = None,
    patients_csv: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Evaluated:
    """Score `model` on the scans of `data`; `split` keeps those that the study's hash puts there.

    A patients.csv beside the scans is used when none is given. Raises DataError when no case is left.
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
        for item in score(model.network(), cases, study, cache_folder=Path(folder)):
            scored.append(item)
            report("scoring", len(scored), len(cases))
    sums = segmentation_sums([s.result for s in scored], bins=study.evaluation.score_bins)
    return Evaluated(
        figures=finish_segmentation(sums, study.task.classes),
        calibration=_calibration(model, scored),
        skipped=skipped,
        split=split,
    )


def _silent(*_: str | int) -> None:
    pass


def _calibration(model: TrainedModel, scored: list[Scored]) -> dict[str, Any] | None:
    known = [s for s in scored if s.case.outcome is not None]
    if model.priority is None or model.study.priority is None or not known:
        return None
    if model.study.priority.site_intercept:
        return None  # these scans belong to none of the sites that an intercept was fitted for
    probability = np.array([model.priority.prioritise(s.features).probability for s in known])
    outcome = np.array([s.case.outcome for s in known])
    return finish_reliability(reliability_sums(probability, outcome, bins=model.study.priority.bins))
