"""Sites that misbehave: each ends with its status and reason in the events, and none ends the run."""

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, RecordDict

from server.checkpoint import load_newest
from server.federation import Question
from server.results import Results
from shared.errors import NothingTrainedError, QuorumError
from shared.model import TrainedModel, digest, initial_weights
from shared.packing import ARRAYS, ARRAYS_OF, KIND, VERSION, parts_of
from shared.study import Privacy, Study
from shared.wire import WIRE_VERSION, Record, Scalar
from tests.server.fake_sites import (
    STUDY,
    Act,
    FakeGrid,
    FakeSite,
    calibrating,
    enrolled,
    enrolment,
    failing,
    hospitals,
    run,
    segmentation,
    silent,
    update,
)

EVALUATE: dict[str, Scalar] = {"study_digest": STUDY.digest(), "split": "validation", "final": False}


def alone(site: FakeSite, record: Record, part: dict[str, Any]) -> RecordDict:
    """The reply to a round's message: validation as usual after the first round, and these for the update."""
    content = RecordDict()
    place = 0 if record.fields["round"] == 1 else 1
    if place:
        good = segmentation(site, Record("evaluate", {**EVALUATE, "round": record.integer("round") - 1}))
        content["0"] = ConfigRecord(parts_of([good])["0"])
    content[str(place)] = ConfigRecord(part)
    return content


def with_arrays(payload: object, key: str = ARRAYS) -> Act:
    """An update that carries `payload` for its arrays."""

    def act(site: FakeSite, record: Record) -> RecordDict:
        good = update(site, record)
        return alone(site, record, {VERSION: WIRE_VERSION, KIND: "update", **good.fields, key: payload})

    return act


def other_version(site: FakeSite, record: Record) -> RecordDict:
    (part,) = parts_of([update(site, record)]).values()
    return alone(site, record, {**part, VERSION: WIRE_VERSION + 1})


WHOLE = ("it says nothing", "Flower lost it", "an empty message", "it was not connected", "too many answers")
"""What is wrong with the whole reply costs the validation that was asked with it as well."""

TRAINING_FAULTS: dict[str, tuple[Act, str, str]] = {
    "it says nothing": (silent, "late", "deadline"),
    "it fails": (failing("internal"), "failed", "internal"),
    "its data are unusable": (failing("data"), "failed", "data"),
    "its policy refuses": (failing("policy.minimum_patients"), "refused", "policy.minimum_patients"),
    "Flower lost it": (lambda s, r: Error(2), "failed", "flower.2"),
    "it was not connected": (lambda s, r: Error(5), "late", "offline"),
    "an empty message": (lambda s, r: RecordDict(), "refused", "count"),
    "too many answers": (lambda s, r: [update(s, r)] * 3, "refused", "count"),
    "another wire version": (other_version, "failed", "wire"),
    "bytes that are no arrays": (with_arrays(b"junk"), "failed", "wire"),
    "no bytes": (with_arrays(b""), "failed", "wire"),
    "a header longer than its bytes": (with_arrays(b"\xff" * 64), "failed", "wire"),
    "another serialisation": (with_arrays(pickle.dumps({"w": 1})), "failed", "wire"),
    "a text for arrays": (with_arrays("w"), "failed", "wire"),
    "no arrays": (with_arrays(1.0, key="loss"), "failed", "wire"),
    "arrays of a record that is not there": (with_arrays(7, key=ARRAYS_OF), "failed", "wire"),
    "an instruction for an answer": (
        lambda s, r: Record("enrol", {"run": "r", "study": "s"}),
        "failed",
        "wire",
    ),
    "the wrong kind of answer": (segmentation, "refused", "kind.segmentation"),
    "another site's name": (lambda s, r: update(s, r, site="north"), "refused", "site"),
    "an update of another run": (lambda s, r: update(s, r, run="other"), "refused", "run"),
    "a stale round": (lambda s, r: update(s, r, round=int(str(r.fields["round"])) - 1), "refused", "round"),
    "NaN": (lambda s, r: update(s, r, value=np.nan), "refused", "not_finite"),
    "negative patients": (lambda s, r: update(s, r, patients=-4), "refused", "patients"),
    "too many patients": (lambda s, r: update(s, r, patients=10**15), "refused", "patients"),
}


@pytest.mark.parametrize("fault", TRAINING_FAULTS)
def test_one_faulty_site_is_recorded_with_its_reason_and_the_run_goes_on(fault: str, tmp_path: Path) -> None:
    act, status, reason = TRAINING_FAULTS[fault]
    results = run(hospitals("north", "east", "south", south={"train": act}), tmp_path)
    assert len(results.rounds) == 2
    for number, entry in enumerate(results.rounds, start=1):
        south = entry.sites["south"]
        assert (south.status, south.reason, south.patients) == (status, reason, 0)
        assert {entry.sites[site].status for site in ("north", "east")} == {"used"}
        noted = [e for e in results.events if e.round == number and e.phase == "training"]
        assert [(e.site, e.status, e.reason) for e in noted] == [("south", status, reason)]
        assert entry.validation is not None
        scored = {"north", "east"} if number == 1 and fault in WHOLE else {"north", "east", "south"}
        assert set(entry.validation.sites) == scored
    lost = [(e.phase, e.round, e.reason) for e in results.events if e.phase != "training"]
    assert lost == ([("validation", 1, reason)] if fault in WHOLE else [])
    alone = run(hospitals("north", "east"), tmp_path / "without")
    assert trained(tmp_path) == trained(tmp_path / "without")
    assert {e.sites["north"].patients for e in alone.rounds} == {30}


def trained(out: Path) -> str:
    return digest(TrainedModel.load(out / "model").weights)


ENROLMENT_FAULTS: dict[str, tuple[Act, str, str]] = {
    "two nodes with one name": (lambda s, r: enrolment(s, site="north"), "refused", "site_twice"),
    "another study": (lambda s, r: enrolment(s, study_digest="0" * 64), "refused", "study"),
    "another version": (lambda s, r: enrolment(s, wardround="0.0.1"), "refused", "version"),
    "another kind": (
        lambda s, r: Record("finished", {"site": s.name, "patients": 1, "seismometer": "off"}),
        "refused",
        "kind.finished",
    ),
    "negative patients": (lambda s, r: enrolment(s, train=-1), "refused", "content"),
    "skipped that is no JSON": (lambda s, r: enrolment(s, skipped="none"), "refused", "content"),
    "skipped that is a list": (lambda s, r: enrolment(s, skipped="[1]"), "refused", "content"),
    "skipped counts below one": (lambda s, r: enrolment(s, skipped='{"x": 0}'), "refused", "content"),
    "an unknown unit": (lambda s, r: enrolment(s, patient_unit="bed"), "refused", "content"),
    "its policy refuses the study": (failing("policy.study"), "refused", "policy.study"),
    "it fails": (failing("config"), "failed", "config"),
}


@pytest.mark.parametrize("fault", ENROLMENT_FAULTS)
def test_who_may_not_enrol_is_noted_and_not_asked_again(fault: str) -> None:
    act, status, reason = ENROLMENT_FAULTS[fault]
    sites = hospitals("north", "east", "south", south={"enrol": act})
    federation = enrolled(sites)
    assert federation.sites == ["east", "north"]
    assert [(e.phase, e.status, e.reason) for e in federation.events] == [("enrolment", status, reason)]


def test_a_silent_node_is_late_and_the_others_are_enrolled() -> None:
    federation = enrolled(hospitals("north", "east", "south", east={"enrol": silent}))
    assert federation.sites == ["north", "south"]
    assert [(e.site, e.status, e.reason) for e in federation.events] == [("node 2", "late", "deadline")]


def test_too_few_enrolled_sites_are_an_error_with_each_ones_reason() -> None:
    sites = hospitals("north", "east", "south", south={"enrol": failing("data")}, east={"enrol": silent})
    with pytest.raises(QuorumError, match=r"1 site\(s\) enrolled.*quorum is 2") as caught:
        enrolled(sites)
    assert "south failed (data)" in str(caught.value)
    assert "node 2 late (deadline)" in str(caught.value)


def test_no_node_at_all_is_said() -> None:
    with pytest.raises(QuorumError, match="no node connected"):
        enrolled([], shortened(0.05))


def shortened(deadline_s: float) -> Study:
    return STUDY.model_copy(update={"strategy": STUDY.strategy.model_copy(update={"deadline_s": deadline_s})})


def test_a_reply_that_comes_twice_is_used_once(tmp_path: Path) -> None:
    sites = hospitals("north", "east")
    assert run(sites, tmp_path / "twice", repeats=True).events == ()
    run(hospitals("north", "east"), tmp_path / "once")
    assert trained(tmp_path / "twice") == trained(tmp_path / "once")


def test_the_model_moves_by_the_mean_change_of_each_round(tmp_path: Path) -> None:
    def moved(site: FakeSite, record: Record) -> Record:
        return update(site, record, value=0.02 if site.name == "north" else -0.01)

    sites = hospitals("north", "east", north={"train": moved}, east={"train": moved})
    run(sites, tmp_path)
    start, end = initial_weights(STUDY), TrainedModel.load(tmp_path / "model").weights
    mean = (0.02 * 30 - 0.01 * 41) / 71
    assert all(end[name] == pytest.approx(start[name] + 2 * mean, abs=1e-6) for name in start)


def test_a_round_without_quorum_ends_the_run_and_resume_goes_on_from_the_round_before(tmp_path: Path) -> None:
    def breaks_down(site: FakeSite, record: Record) -> Record | None:
        return update(site, record) if record.fields["round"] == 1 else None

    with pytest.raises(QuorumError, match="round 2: 1 site"):
        run(hospitals("north", "east", east={"train": breaks_down}), tmp_path)
    kept = load_newest(tmp_path / "checkpoints", study_digest=STUDY.digest())
    assert kept is not None
    assert kept.round == 1
    resumed = run(hospitals("north", "east"), tmp_path, resume=True)
    assert [entry.round for entry in resumed.rounds] == [1, 2]
    run(hospitals("north", "east"), tmp_path / "never-broken")
    assert trained(tmp_path) == trained(tmp_path / "never-broken")


def test_a_run_in_which_no_site_ever_trained_says_so(tmp_path: Path) -> None:
    def nan(site: FakeSite, record: Record) -> Record:
        return update(site, record, value=np.nan)

    with pytest.raises(NothingTrainedError, match=r"nothing was trained.*east refused \(not_finite\)"):
        run(hospitals("north", "east", north={"train": nan}, east={"train": nan}), tmp_path)
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize("kind", ["evaluate", "newton", "reliability", "finish"])
@pytest.mark.parametrize("act", [silent, failing("internal")], ids=["silent", "failing"])
def test_a_site_lost_after_training_costs_no_more_than_its_own_figures(
    kind: str, act: Act, tmp_path: Path
) -> None:
    results = run(hospitals("north", "east", "south", south={kind: act}), tmp_path)
    assert "south" in {e.site for e in results.events}
    assert results.calibration is not None
    assert results.evaluation.federated is not None
    judged = set(results.evaluation.federated.sites)
    assert judged == ({"north", "east"} if kind == "evaluate" else {"north", "east", "south"})
    assert Results.read(tmp_path / "results.json") == results


def test_before_and_after_calibration_are_judged_on_the_same_patients(tmp_path: Path) -> None:
    def once(site: FakeSite, record: Record) -> Record | None:
        asked = [r for r in site.asked if r.kind == "reliability"]
        return reliable(site, record) if len(asked) == 1 else None

    def reliable(site: FakeSite, record: Record) -> Record:
        healthy = replace(site, instead={}, asked=[])
        answer = healthy.answer(record)
        assert isinstance(answer, Record)
        return answer

    results = run(hospitals("north", "east", "south", south={"reliability": once}), tmp_path)
    assert results.calibration is not None
    assert results.calibration.before.n == results.calibration.after.n == 30 + 41


def test_when_nobody_can_calibrate_the_model_still_stands(tmp_path: Path) -> None:
    broken: dict[str, Act] = {"newton": failing("policy.kind")}
    results = run(hospitals("north", "east", north=broken, east=broken), tmp_path)
    assert results.calibration is None
    assert ("calibration", "all", "failed") in {(e.phase, e.site, e.status) for e in results.events}
    assert TrainedModel.load(tmp_path / "model").priority is None


def test_sums_of_another_shape_are_refused_and_the_others_count(tmp_path: Path) -> None:
    def other_shape(site: FakeSite, record: Record) -> Record:
        answer = calibrating(site, record)
        return Record("derivatives", answer.fields, {**answer.arrays, "gradient": np.zeros(1)})

    results = run(hospitals("north", "east", "south", south={"newton": other_shape}), tmp_path)
    assert results.calibration is not None
    assert results.calibration.patients == 30 + 41
    assert ("south", "refused", "wire") in {(e.site, e.status, e.reason) for e in results.events}


@pytest.mark.parametrize("claimed", [-1.0, 9.0, float("nan"), float("inf")])
def test_a_private_study_refuses_an_update_without_a_believable_epsilon(
    claimed: float, tmp_path: Path
) -> None:
    study = STUDY.model_copy(update={"privacy": Privacy(epsilon=8.0, delta=1e-3)})

    def spending(epsilon: float) -> dict[str, Act]:
        return {
            "enrol": lambda s, r: enrolment(s, study_digest=study.digest()),
            "train": lambda s, r: update(s, r, epsilon=epsilon),
        }

    sites = hospitals(
        "north", "east", "south", north=spending(7.5), east=spending(8.0), south=spending(claimed)
    )
    results = run(sites, tmp_path, study=study)
    assert {entry.sites["south"].reason for entry in results.rounds} == {"epsilon"}
    spent = {name: entry.epsilon_spent for name, entry in results.sites.items()}
    assert spent == {"north": 7.5, "east": 8.0, "south": None}


def test_what_a_site_skipped_is_counted_by_reason_and_names_no_case(tmp_path: Path) -> None:
    results = run(hospitals("north", "east"), tmp_path)
    (skipped,) = results.sites["north"].skipped
    assert (skipped.reason, skipped.count, skipped.case) == ("unreadable", 2, None)


def test_the_same_weights_reach_every_site_and_the_study_travels_whole() -> None:
    sites = hospitals("north", "east")
    federation = enrolled(sites)
    assert Study.parse(json.loads(sites[0].asked[0].text("study")), "the wire") == STUDY
    weights = initial_weights(STUDY)
    record = Record("train", {"run": "r", "study_digest": STUDY.digest(), "round": 1}, weights)
    answers = list(federation.ask(federation.to_all(Question("training", record, "update", 1))))
    assert {digest(site.asked[-1].arrays) for site in sites} == {digest(weights)}
    assert all(a.outcome.bytes_down == record.size_bytes for a in answers)
    assert isinstance(federation.grid, FakeGrid)
