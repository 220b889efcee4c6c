"""Federated evaluation: sums from every site, figures per site, pooled, worst and spread."""

from collections.abc import Mapping
from typing import Any

from server.federation import Answer, Federation, Question
from server.results import Judged
from shared.metrics import finish_segmentation, segmentation_shapes, worst_and_spread
from shared.model import Weights
from shared.study import Study
from shared.sums import Sums
from shared.wire import Record, Scalar


class Evaluation:
    """One evaluation of `weights` on every site's `split`: its `question`, and the sums that answer it."""

    def __init__(
        self, federation: Federation, weights: Weights, *, round_number: int, split: str, final: bool
    ) -> None:
        study = federation.study
        fields: dict[str, Scalar] = {
            "study_digest": study.digest(),
            "round": round_number,
            "split": split,
            "final": final,
        }
        phase = "evaluation" if final else "validation"
        record = Record("evaluate", fields, weights)
        self.question = Question(phase, record, "segmentation", round_number)
        self._federation = federation
        points = study.task.truth == "points"
        self._shapes = segmentation_shapes(
            len(study.task.classes), study.evaluation.score_bins, points=points
        )
        self._sums: dict[str, Sums] = {}

    def add(self, answer: Answer) -> None:
        """Take one answer of the exchange; those to other questions are passed over."""
        if answer.question is self.question:
            found = self._federation.sums(answer, self._shapes)
            if found is not None:
                self._sums[answer.seat.site] = found

    def judged(self) -> Judged | None:
        """Figures from the sites that answered; None when none did."""
        sums = {site: self._sums[site] for site in sorted(self._sums)}
        return judged(sums, self._federation.study) if sums else None


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
