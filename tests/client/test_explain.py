"""The page that a data protection officer signs, against what a node really releases."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.explain import arrays_of, explain
from client.explain_words import PLAIN
from client.explanation import Explanation, Leaving
from client.gate import Gate
from client.greeting import GREETING_EVERY_S
from client.node import Node
from client.policy import CONTROL, ON_REQUEST, RELEASABLE
from shared.recalibration import FITS_A_FOLD, KINDS, Recalibration
from shared.study import Study
from shared.wire import RECORDS, Record
from tests.client.hospital import (
    FITS,
    Weights,
    enrol,
    evaluate,
    finish,
    held_out,
    histograms,
    newton_map,
    reliability,
    site_at,
    tiny_study,
    train,
    voxels,
)

STUDY = tiny_study()
COEFFICIENTS = [0.1, 0.5, -0.1, 0.2]
NO_MAP = Recalibration().model_dump(mode="json")


def explained(tmp_path: Path, study: Study = STUDY, *, approved: bool = False, **policy: Any) -> Explanation:
    values = {"studies": "any", "minimum_patients": 2, **policy}
    return explain(site_at(tmp_path, tmp_path / "work", policy=values), study, approved=approved)


def of(found: Explanation, kind: str) -> Leaving:
    return next(one for one in found.leaving if one.kind == kind)


def released(node: Node, study: Study, weights: Weights) -> dict[str, Record]:
    """What a node lets out in a run, through its own gate."""
    answers = [
        enrol(node, study),
        train(node, study, weights),
        evaluate(node, study, weights, "test", final=True),
        node.newton_map(newton_map(study, COEFFICIENTS, np.zeros((FITS_A_FOLD * FITS, 4)))),
        node.held_out(held_out(study, COEFFICIENTS, [dict.fromkeys(KINDS, NO_MAP)] * (FITS - 1))),
        node.histograms(histograms(study, COEFFICIENTS)),
        node.reliability(reliability(study, COEFFICIENTS, calibrated=True)),
        node.voxels(voxels(study)),
        finish(node, study, weights, None),
        node.describe(Record("describe", {"study_digest": study.digest()})),
        Record("failure", {"site": node.site.name, "code": "policy.minimum_patients", "cases": 0}),
    ]
    gate = Gate(node.site.policy, node.audit)
    return {record.kind: gate.release(record).record for record in answers}


@pytest.mark.parametrize("classes", [["tumour"], ["organ", "tumour"]])
def test_the_sizes_said_are_those_of_what_a_real_node_releases(
    classes: list[str], phantoms: Path, tmp_path: Path, weights: Weights
) -> None:
    study = tiny_study(task={"classes": classes})
    if len(classes) == 1:
        policy = {"studies": "any", "minimum_patients": 2, "release": RELEASABLE}
        sent = released(Node(site_at(phantoms, tmp_path / "work", policy=policy)), study, weights)
        found = explained(tmp_path, study, release=RELEASABLE)
        assert sent.keys() == {one.kind for one in found.leaving}
        for kind, record in sent.items():
            said = of(found, kind).bytes_each
            assert record.size_bytes <= said <= record.size_bytes + 700, kind
            shapes = {name: (array.shape, array.dtype.itemsize) for name, array in record.arrays.items()}
            expected = arrays_of(kind, study)
            assert shapes == {n: (a.shape, a.dtype.itemsize) for n, a in expected.items()}, kind
    else:
        assert arrays_of("segmentation", study)["dice_sum"].shape == (2,)


def test_where_points_are_the_truth_their_histograms_are_named_and_counted(tmp_path: Path) -> None:
    points = tiny_study(task={"classes": ["vessel"], "truth": "points"})
    said, usual = (of(explained(tmp_path, s), "segmentation") for s in (points, STUDY))
    assert "probability at the labelled points" in said.holds
    assert "labelled points" not in usual.holds
    assert said.bytes_each - usual.bytes_each == 2 * 8 * points.evaluation.score_bins


def test_every_kind_that_can_leave_is_explained() -> None:
    assert {kind for kind, spec in RECORDS.items() if spec.leaves_site} == set(PLAIN) | CONTROL


def test_the_total_is_the_sum_over_the_plan_of_the_study(tmp_path: Path) -> None:
    found = explained(tmp_path)
    times = {one.kind: one.times for one in found.leaving}
    assert times["update"] == STUDY.training.rounds == 2
    assert times["segmentation"] == 3
    assert times["derivatives"] == 26 + 2 * 51
    assert (times["held_out_losses"], times["score_histograms"], times["voxel_counts"]) == (1, 3, 2)
    kinds = {kind: one for one in found.leaving if (kind := one.kind) not in ON_REQUEST}
    assert found.bytes_in_all == sum(one.bytes_each * (one.times or 0) for one in kinds.values())
    assert (
        explained(tmp_path, budget={"updates": 1}).bytes_in_all
        == found.bytes_in_all - of(found, "update").bytes_each
    )


def test_what_the_policy_refuses_is_said_and_not_counted(tmp_path: Path) -> None:
    found = explained(tmp_path, release=["enrolment", "segmentation"], hours="20:00-06:00")
    assert of(found, "update").refused == "policy.release does not list it"
    assert of(found, "failure").refused is None
    assert of(found, "update").bytes_in_all == 0
    text = found.text()
    assert "- update: policy.release does not list it" in text
    assert "outside 20:00-06:00" in text


@pytest.mark.parametrize(
    ("policy", "approved", "said"),
    [
        ({"studies": "ask"}, False, "everything, until somebody allows this study"),
        ({"studies": "ask"}, True, "nothing that this study asks for"),
        ({"studies": ["other"]}, False, "everything: policy.studies does not list this study"),
        ({"budget": {"epsilon": 3.0}}, False, "policy.budget.epsilon is 3 and the study has no differential"),
        ({"budget": {"updates": 1}}, False, "training after 1 of 2 rounds"),
        ({}, False, "nothing that this study asks for"),
    ],
)
def test_refusals_are_said_plainly(tmp_path: Path, policy: Any, approved: bool, said: str) -> None:
    assert said in explained(tmp_path, approved=approved, **policy).text()


def test_statistics_leave_only_where_the_policy_lists_them_and_the_page_says_so(tmp_path: Path) -> None:
    closed = explained(tmp_path)
    assert of(closed, "statistics").refused == "policy.release does not list it"
    assert "nothing that this study asks for" in closed.text()  # a run asks for them, a study does not
    opened = explained(tmp_path, release=RELEASABLE)
    assert of(opened, "statistics").refused is None
    assert of(opened, "statistics").times == 1
    assert "starts for it alone and that trains nothing" in of(opened, "statistics").how_often
    assert opened.bytes_in_all == closed.bytes_in_all + of(opened, "statistics").bytes_each


def test_differential_privacy_is_claimed_for_weight_changes_alone(tmp_path: Path) -> None:
    private = tiny_study(privacy={"epsilon": 4.0, "delta": 1e-3, "clip": 1.0})
    found = explained(tmp_path, private)
    covered = {one.kind for one in found.leaving if "epsilon 4, delta 0.001" in one.protection}
    assert covered == {"update"}
    assert "not covered by differential privacy" in of(found, "segmentation").protection
    assert "not covered by differential privacy" in of(explained(tmp_path), "update").protection


def test_without_a_reading_order_its_records_do_not_leave(tmp_path: Path) -> None:
    found = explained(tmp_path, tiny_study(priority=None))
    assert of(found, "derivatives").refused == "the study fits no reading order"
    assert "fits no reading order" not in found.text().split("What leaves\n")[0]


@pytest.mark.parametrize(
    "study",
    [
        tiny_study(evaluation={"voxel_temperature": False}),
        tiny_study(task={"classes": ["vessel"], "truth": "points"}),
    ],
    ids=["switched off", "points"],
)
def test_where_no_probability_map_is_calibrated_no_voxel_is_counted(study: Study, tmp_path: Path) -> None:
    assert of(explained(tmp_path), "voxel_counts").refused is None
    assert of(explained(tmp_path, study), "voxel_counts").refused == "the study calibrates no probability map"


@pytest.mark.parametrize("site_intercept", ["none", "own", "shrunk"])
def test_intercepts_of_other_sites_cross_nothing(site_intercept: str) -> None:
    assert STUDY.priority is not None
    study = tiny_study(priority={**STUDY.priority.model_dump(), "site_intercept": site_intercept})
    sizes = {name: array.shape for name, array in arrays_of("derivatives", study).items()}
    assert sizes == {name: array.shape for name, array in arrays_of("derivatives", STUDY).items()}


def test_the_page_is_plain_deterministic_and_narrow(tmp_path: Path) -> None:
    text = explained(tmp_path).text()
    assert text == explained(tmp_path).text()
    assert max(map(len, text.splitlines())) <= 100
    assert text.isascii()
    assert str(tmp_path) not in text
    assert STUDY.digest() in text
    for never in ("scans", "identifiers of patients", "texts of errors"):
        assert never in text.split("What never leaves")[1]


def test_how_often_the_node_speaks_of_itself_is_said_as_it_is(tmp_path: Path) -> None:
    said = explained(tmp_path).text().split("What the node says of itself")[1]
    assert f"every {GREETING_EVERY_S / 60:.0f} minutes" in " ".join(said.split())
