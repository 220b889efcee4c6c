"""The calibration maps: fitted on scores out of fold, chosen by log loss on folds that they did not see."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from server.calibration.exchange import FIT_SPLIT, Exchange
from server.calibration.score import ScoreFit
from server.federation import Question
from shared.calibration import logistic_shapes
from shared.choosing import Choice, choose, held_out_shapes
from shared.errors import FederationError
from shared.isotonic import bin_bound, count_shapes, isotonic
from shared.recalibration import COLUMNS, KINDS, Kind, Recalibration, fit_maps
from shared.study import Priority
from shared.sums import FloatArray, Sums
from shared.wire import Record, Scalar

ByKind = Mapping[Kind, Recalibration]


@dataclass(frozen=True)
class Chosen:
    """The map to use and why; `bin_bound` is what bins can have cost an isotonic one, in nats a patient."""

    recalibration: Recalibration
    choice: Choice
    bin_bound: float | None


def choose_map(exchange: Exchange, score: ScoreFit, priority: Priority) -> Chosen:
    """Fit the study's candidates and choose one; raises SiteLeftError when a site leaves on the way.

    Where no site has enough patients for folds, the score is left as it is.
    """
    nothing = Chosen(Recalibration(), _nobody(), None)
    if not exchange.foldable:
        return nothing
    try:
        maps, bound = _fitted(exchange, score, priority)
    except FederationError:
        return nothing  # no patient was scored out of fold
    kinds = [kind for kind in KINDS if kind in priority.calibration and all(kind in fold for fold in maps)]
    if not kinds:
        return nothing
    choice = _judged(exchange, score, maps[:-1], kinds)
    kind = choice.kind
    return Chosen(maps[-1][kind], choice, bound if kind == "isotonic" else None)


def _nobody() -> Choice:
    why = "none: no site had enough patients to be scored by fits that had not seen them"
    return Choice("none", why, (), 0)


def _fitted(exchange: Exchange, score: ScoreFit, priority: Priority) -> tuple[Sequence[ByKind], float | None]:
    """Fit maps without each fold, then those of everybody; and find the bound of the last isotonic one."""

    def gather(coefficients: FloatArray) -> Sums:
        records = {
            site: Record(
                "newton_map",
                _fields(exchange, calibration=""),
                {"scores": score.scores[site], "coefficients": coefficients},
            )
            for site in exchange.foldable
        }
        shapes = logistic_shapes(len(COLUMNS), len(coefficients))
        sums = exchange.every("calibration maps", records, answer_kind="derivatives", shapes=shapes)
        return Sums.total(sums.values())

    fits = priority.folds + 1
    maps = [dict(by_kind) for by_kind in fit_maps(gather, fits)]
    if "isotonic" not in priority.calibration:
        return maps, None
    counted = histograms(exchange, score, Recalibration())
    if not counted:
        return maps, None
    total = Sums.total(counted.values())
    if not all((total["positives"] + total["negatives"]).sum(axis=1)):
        return maps, None  # no site may part its counts by fold: an isotonic map cannot be judged
    for own, up, down in zip(maps, total["positives"], total["negatives"], strict=True):
        own["isotonic"] = isotonic(up, down)
    return maps, bin_bound(total["positives"][-1], total["negatives"][-1])


def histograms(exchange: Exchange, score: ScoreFit, recalibration: Recalibration) -> dict[str, Sums]:
    """Count each site's scores out of fold by outcome, through a map; a site may refuse and is left out."""
    record = {
        site: Record(
            "histograms",
            _fields(exchange, calibration=recalibration.model_dump_json()),
            {"scores": score.scores[site]},
        )
        for site in exchange.foldable
    }
    questions = {site: [Question("histograms", one, "score_histograms")] for site, one in record.items()}
    fits = len(next(iter(score.scores.values())))
    return exchange.gather(questions, {"histograms": count_shapes(fits)})["histograms"]


def _judged(exchange: Exchange, score: ScoreFit, maps: Sequence[ByKind], kinds: Sequence[Kind]) -> Choice:
    """Choose by the sites that release losses; without any of them the simplest is taken."""
    text = json.dumps([{kind: fold[kind].model_dump(mode="json") for kind in kinds} for fold in maps])
    fields: dict[str, Scalar] = {"study_digest": exchange.study_digest, "split": FIT_SPLIT, "maps": text}
    questions = {
        site: [
            Question(
                "held-out losses",
                Record("held_out", fields, {"scores": score.scores[site]}),
                "held_out_losses",
            )
        ]
        for site in exchange.foldable
    }
    found = exchange.gather(questions, {"held-out losses": held_out_shapes(len(kinds))})["held-out losses"]
    if not found:
        nobody = {name: np.zeros(shape) for name, shape in held_out_shapes(len(kinds)).items()}
        return choose(Sums(nobody), kinds)
    return choose(Sums.total(found.values()), kinds)


def _fields(exchange: Exchange, *, calibration: str) -> dict[str, Scalar]:
    return {"study_digest": exchange.study_digest, "split": FIT_SPLIT, "calibration": calibration}
