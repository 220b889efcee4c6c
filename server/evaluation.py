"""Federated evaluation: sums from every site, figures per site, pooled, worst and spread."""

from collections.abc import Mapping
from typing import Any

from server.federation import Federation
from server.results import Judged
from shared.metrics import finish_segmentation, segmentation_shapes, worst_and_spread
from shared.model import Weights
from shared.study import Study
from shared.sums import Sums
from shared.wire import Record


def evaluate(
    federation: Federation, weights: Weights, *, round_number: int, split: str, final: bool
) -> Judged | None:
    """Figures of `weights` on every site's `split`; None when no site answered."""
    study = federation.study
    record = Record(
        "evaluate",
        {"study_digest": study.digest(), "round": round_number, "split": split, "final": final},
        weights,
    )
    sums = federation.gather(
        "evaluation" if final else "validation",
        federation.to_all(record),
        answer_kind="segmentation",
        shapes=segmentation_shapes(len(study.task.classes), study.evaluation.score_bins),
        round_number=round_number,
    )
    return judged(sums, study) if sums else None


def judged(sums: Mapping[str, Sums], study: Study) -> Judged:
    """Figures of one model from each site's sums."""
    classes = study.task.classes
    sites = {site: finish_segmentation(s, classes) for site, s in sums.items()}
    worst, spread = worst_and_spread(sites)
    values: dict[str, Any] = {
        "pooled": finish_segmentation(Sums.total(sums.values()), classes),
        "sites": sites,
        "worst": worst,
        "spread": spread,
    }
    return Judged.model_validate(values)
