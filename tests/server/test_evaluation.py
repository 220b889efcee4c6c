"""Federated figures of a model: per site, pooled, worst and spread, from sums alone."""

from dataclasses import replace

import numpy as np
import pytest

from server.evaluation import Evaluation, judged
from server.federation import Federation
from server.results import Judged
from server.scores import SegmentationFigures
from shared.metrics import finish_segmentation, segmentation_sums
from shared.model import Weights, initial_weights
from shared.points import Points
from shared.sums import Sums
from shared.wire import Record
from tests.server.fake_sites import (
    STUDY,
    Act,
    FakeSite,
    enrolled,
    enrolment,
    failing,
    hospitals,
    scan,
    segmentation,
)

GOOD = [scan(overlap=8, truth=10, called=True, score=0.9), scan(overlap=0, truth=0, called=False, score=0.1)]
POOR = [scan(overlap=2, truth=10, called=True, score=0.4), scan(overlap=0, truth=4, called=False, score=0.3)]
BINS = STUDY.evaluation.score_bins


def evaluate(
    federation: Federation, weights: Weights, *, round_number: int, split: str, final: bool
) -> Judged | None:
    """One evaluation in an exchange of its own."""
    evaluation = Evaluation(federation, weights, round_number=round_number, split=split, final=final)
    for answer in federation.ask(federation.to_all(evaluation.question)):
        evaluation.add(answer)
    return evaluation.judged()


def test_pooled_figures_are_those_of_all_scans_together_and_the_worst_site_is_named() -> None:
    found = judged(
        {"east": segmentation_sums(GOOD, bins=BINS), "west": segmentation_sums(POOR, bins=BINS)}, STUDY
    )
    together = finish_segmentation(segmentation_sums(GOOD + POOR, bins=BINS), STUDY.task.classes)
    assert found.pooled == SegmentationFigures.model_validate(together)
    dice = {site: figures.dice for site, figures in found.sites.items()}
    assert dice["east"] == pytest.approx((0.8 + 1) / 2)
    assert (found.worst.site, found.worst.dice) == ("west", dice["west"])
    assert (found.spread.min, found.spread.max) == (dice["west"], dice["east"])


def test_sites_without_a_scan_have_no_dice_and_there_is_no_worst_one() -> None:
    one = segmentation_sums(GOOD[:1], bins=BINS)
    nothing = Sums({name: np.zeros_like(array) for name, array in one.values.items()})
    found = judged({"east": nothing}, STUDY)
    assert found.pooled.scans == 0
    assert found.sites["east"].dice is None
    assert (found.worst.site, found.worst.dice, found.spread.min) == (None, None, None)


@pytest.mark.parametrize("final", [False, True])
def test_every_site_is_asked_for_the_split_and_told_whether_it_is_the_end(final: bool) -> None:
    sites = hospitals("north", "east")
    federation = enrolled(sites)
    weights = initial_weights(STUDY)
    found = evaluate(federation, weights, round_number=4, split="test", final=final)
    assert found is not None
    assert set(found.sites) == {"north", "east"}
    for site in sites:
        fields = site.asked[-1].fields
        assert (fields["round"], fields["split"], fields["final"]) == (4, "test", final)
        assert set(site.asked[-1].arrays) == set(weights)


def test_without_any_answer_there_are_no_figures() -> None:
    broken: dict[str, Act] = {"evaluate": failing("policy.minimum_patients")}
    federation = enrolled(hospitals("north", "east", north=broken, east=broken))
    assert evaluate(federation, {}, round_number=1, split="validation", final=False) is None
    assert {(e.phase, e.status, e.round) for e in federation.events} == {("validation", "refused", 1)}


def on_points(site: FakeSite, record: Record) -> Record:
    """Two scans, each with one point of a class above all points of background."""
    points = Points(np.array([0.1, 0.3, 0.9]), np.array([False, False, True]))
    scans = [replace(one, reference_finding=None, points=points) for one in GOOD]
    fields = {"site": site.name, "round": record.fields["round"], "patients": 2}
    return Record("segmentation", fields, segmentation_sums(scans, bins=BINS).to_arrays())


def test_a_study_of_points_has_an_az_and_needs_every_sites_points() -> None:
    study = STUDY.model_copy(update={"task": STUDY.task.model_copy(update={"truth": "points"})})

    def agreed(site: FakeSite, record: Record) -> Record:
        return enrolment(site, study_digest=study.digest())

    act: dict[str, Act] = {"enrol": agreed, "evaluate": on_points}
    blind: dict[str, Act] = {"enrol": agreed}  # it answers as if its labels were whole
    sites = hospitals("north", "east", "south", north=act, east=act, south=blind)
    federation = enrolled(sites, study)
    found = evaluate(federation, {}, round_number=1, split="test", final=True)
    assert found is not None
    assert set(found.sites) == {"north", "east"}
    assert [(e.site, e.status, e.reason) for e in federation.events] == [("south", "refused", "wire")]
    assert (found.pooled.az, found.pooled.az_bound, found.pooled.sensitivity) == (1.0, 0.0, None)
    assert (found.pooled.positives, found.pooled.negatives) == (0, 0)


@pytest.mark.parametrize("spoil", ["negative", "not finite", "another name", "another shape"])
def test_a_sum_that_cannot_be_added_is_refused(spoil: str) -> None:
    def spoiled(site: FakeSite, record: Record) -> Record:
        answer = segmentation(site, record)
        kind = "f" if spoil == "not finite" else "i"
        name, array = next((n, a) for n, a in answer.arrays.items() if a.dtype.kind == kind)
        arrays = {
            "negative": {**answer.arrays, name: np.asarray(array - 100)},
            "not finite": {**answer.arrays, name: np.asarray(array * np.nan)},
            "another name": {**answer.arrays, "more": array},
            "another shape": {**answer.arrays, name: np.zeros((7, 7), array.dtype)},
        }[spoil]
        return Record("segmentation", answer.fields, arrays)

    federation = enrolled(hospitals("north", "east", "south", south={"evaluate": spoiled}))
    found = evaluate(federation, {}, round_number=1, split="validation", final=False)
    assert found is not None
    assert set(found.sites) == {"north", "east"}
    assert [(e.site, e.status, e.reason) for e in federation.events] == [("south", "refused", "wire")]


def test_sums_under_another_sites_name_are_refused() -> None:
    def impostor(site: FakeSite, record: Record) -> Record:
        answer = segmentation(site, record)
        return Record("segmentation", {**answer.fields, "site": "north"}, answer.arrays)

    federation = enrolled(hospitals("north", "east", "south", south={"evaluate": impostor}))
    found = evaluate(federation, {}, round_number=1, split="validation", final=False)
    assert found is not None
    assert set(found.sites) == {"north", "east"}
    assert [(e.site, e.status, e.reason) for e in federation.events] == [("south", "refused", "site")]
