"""One hospital's answers, against what follows from its files."""

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from flwr.common.serde import message_to_proto

from client.data import cache
from client.data.split import Split
from client.findings import Findings, finding
from client.gate import Gate
from client.inference import probabilities
from client.node import Node
from client.policy import Policy
from client.result import Finding
from client.worklist.run_table import REASON_PREFIX
from shared.calibration import logistic_shapes, logistic_sums
from shared.errors import ConfigError, DataError, PolicyError, WardroundError, WireError
from shared.folds import folds_of
from shared.metrics import segmentation_shapes
from shared.model import TrainedModel, build, set_weights
from shared.recalibration import Recalibration
from shared.study import NETWORK_FEATURES
from shared.unlabelled import UNLABELLED
from shared.voxel_temperature import VoxelTemperature, count_voxels, voxel_sums
from shared.wire import Record
from tests.client.hospital import (
    FITS,
    PATIENTS,
    Fields,
    Weights,
    enrol,
    evaluate,
    finish,
    histograms,
    message,
    newton,
    priority_of,
    reliability,
    send,
    site_at,
    tiny_study,
    train,
    voxels,
)

STUDY = tiny_study()
PRIVATE = tiny_study(privacy={"epsilon": 8.0, "delta": 1e-3, "clip": 1.0})
SLOPES = {"finding_probability": 1.2, "volume_ml": 0.4, "age": 0.3}
COEFFICIENTS = [0.1, 0.5, -0.1, 0.2]
COUNTED = ("train", "validation", "test")


@pytest.fixture
def final(node: Node, weights: Weights) -> Node:
    """A node after the final evaluation."""
    evaluate(node, STUDY, weights, "test", final=True)
    return node


def kept(node: Node) -> list[dict[str, object]]:
    (path,) = (node.site.work / "studies").glob("*.scans.json")
    rows: list[dict[str, object]] = json.loads(path.read_text())
    return rows


def test_enrolling_answers_counts_and_names_no_case(phantoms: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(phantoms, data)
    for label in sorted((data / "labelsTr").iterdir())[:2]:
        label.unlink()
    node = Node(site_at(data, tmp_path / "work"))
    found = enrol(node, STUDY)
    counts = [found.integer(split) for split in COUNTED]
    assert sum(counts) == PATIENTS - 2
    assert min(counts) > 0
    assert json.loads(found.text("skipped")) == {"label_missing": 2}
    assert found.text("patient_unit") == "patient"
    assert found.text("study_digest") == STUDY.digest()
    assert "phantom_" not in json.dumps(dict(found.fields))
    assert not found.arrays


def test_a_study_that_the_policy_does_not_name_is_refused_before_data_is_read(tmp_path: Path) -> None:
    policy = {"studies": ["other"]}
    node = Node(site_at(tmp_path / "no such folder", tmp_path / "work", policy=policy))
    with pytest.raises(PolicyError, match="tiny") as refusal:
        enrol(node, STUDY)
    assert refusal.value.code == "policy.study"


def test_a_policy_that_changes_after_enrolment_holds_at_once(
    node: Node, phantoms: Path, weights: Weights
) -> None:
    changed = Node(site_at(phantoms, node.site.work, policy={"studies": ["other"]}))
    with pytest.raises(PolicyError, match=r"policy.studies"):
        train(changed, STUDY, weights)


def test_training_answers_changes_of_the_models_weights(node: Node, weights: Weights) -> None:
    found = train(node, STUDY, weights)
    assert {n: (a.shape, a.dtype) for n, a in found.arrays.items()} == {
        n: (w.shape, np.dtype(np.float32)) for n, w in weights.items()
    }
    assert any(np.abs(a).max() > 0 for a in found.arrays.values())
    assert (found.integer("patients"), found.integer("round")) == (enrol(node, STUDY).integer("train"), 1)
    assert (found.fields["epsilon"], found.fields["delta"]) == (-1.0, -1.0)
    again = train(node, STUDY, weights)
    assert all(np.array_equal(found.arrays[n], again.arrays[n]) for n in weights)


def test_a_site_that_has_not_enrolled_says_so(phantoms: Path, tmp_path: Path, weights: Weights) -> None:
    with pytest.raises(ConfigError, match="enrol first"):
        train(Node(site_at(phantoms, tmp_path / "work")), STUDY, weights)


def test_evaluation_sums_are_those_of_a_count_by_hand(node: Node, weights: Weights) -> None:
    found = evaluate(node, STUDY, weights, "test", final=False)
    data = cache.load(node.cache_folder, STUDY)
    net = build(STUDY)
    set_weights(net, weights)
    net.eval()
    score, intersection, predicted, reference, positive = [], 0, 0, 0, 0
    for case in data.split("test"):
        guess = probabilities(net, case.image(node.cache_folder), STUDY)[1] > 0.5
        truth = np.asarray(case.label(node.cache_folder)) == 1
        both, either = int((guess & truth).sum()), int(guess.sum() + truth.sum())
        score.append(2 * both / either if either else 1.0)
        intersection, predicted, reference = (
            intersection + both,
            predicted + guess.sum(),
            reference + truth.sum(),
        )
        positive += bool(truth.any())
    assert found.arrays["dice_sum"] == pytest.approx([sum(score)])
    counts = [int(found.arrays[n][0]) for n in ("intersection", "predicted", "reference", "positives")]
    assert counts == [intersection, predicted, reference, positive]
    shapes = segmentation_shapes(1, STUDY.evaluation.score_bins)
    assert {name: array.shape for name, array in found.arrays.items()} == shapes
    assert int(found.arrays["scans"]) == found.integer("patients") == len(score)


def test_a_round_scores_only_as_many_cases_as_the_study_says(
    phantoms: Path, tmp_path: Path, weights: Weights
) -> None:
    study = tiny_study(evaluation={"validation_fraction": 0.3, "test_fraction": 0.3, "round_cases": 3})
    node = Node(site_at(phantoms, tmp_path / "work"))
    counts = enrol(node, study)
    assert evaluate(node, study, weights, "validation", final=False).integer("patients") == 3
    assert (
        evaluate(node, study, weights, "test", final=True).integer("patients") == counts.integer("test") > 3
    )


def test_the_final_evaluation_keeps_features_of_test_and_validation_at_the_site(final: Node) -> None:
    rows = kept(final)
    assert {row["split"] for row in rows} == {"test", "validation"}
    with (final.site.data / "patients.csv").open() as file:
        table = {row["case"]: row for row in csv.DictReader(file)}
    for row in rows:
        features = row["features"]
        assert isinstance(features, dict)
        assert row["outcome"] == int(table[str(row["case"])]["urgent"])
        assert "urgent" not in features
        assert features.keys() >= set(NETWORK_FEATURES) - {"uncertainty"}
        assert "uncertainty" not in features


def test_findings_are_measured_for_the_final_model_alone(
    node: Node, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Findings] = []

    def noted(found: Findings) -> tuple[Finding, ...]:
        measured.append(found)
        return ()

    monkeypatch.setattr(finding, "_measured", noted)
    evaluate(node, STUDY, weights, "test", final=False)
    assert measured == []
    evaluate(node, STUDY, weights, "test", final=True)
    assert len(measured) == len(kept(node))


def test_a_study_with_flips_keeps_how_sure_its_final_model_is(
    phantoms: Path, tmp_path: Path, weights: Weights
) -> None:
    mirrored = tiny_study(evaluation={**STUDY.evaluation.model_dump(), "flips": ["x"]})
    node = Node(site_at(phantoms, tmp_path / "work"))
    enrol(node, mirrored)
    evaluate(node, mirrored, weights, "test", final=True)
    rows = kept(node)
    assert rows
    for row in rows:
        features = row["features"]
        assert isinstance(features, dict)
        assert 0 <= features["uncertainty"] <= 1


def test_newton_answers_the_derivatives_over_the_kept_scans_but_those_of_a_fold(final: Node) -> None:
    coefficients = [0.1, 0.5, -0.1, 0.2]
    found = final.newton(newton(STUDY, coefficients))
    rows = [row for row in kept(final) if row["split"] == "validation"]
    design = np.array([_design_row(row["features"]) for row in rows])
    outcome = np.array([row["outcome"] for row in rows])
    fold = folds_of([str(row["patient"]) for row in rows], folds=2, salt="wardround\x001", minimum_patients=2)
    assert set(fold) == {0, 1}
    for j in range(FITS):
        expected = logistic_sums(design[fold != j], outcome[fold != j], np.array(coefficients))
        for name in logistic_shapes(len(coefficients)):
            np.testing.assert_allclose(found.arrays[name][j], expected[name], rtol=1e-12, atol=1e-12)
    assert found.integer("patients") == found.integer("judged") == len(rows)


def test_a_site_too_small_for_folds_is_in_every_fit_and_judges_none(
    phantoms: Path, tmp_path: Path, weights: Weights
) -> None:
    node = Node(site_at(phantoms, tmp_path / "work", policy={"studies": "any", "minimum_patients": 5}))
    enrol(node, STUDY)
    evaluate(node, STUDY, weights, "test", final=True)
    found = node.newton(newton(STUDY, COEFFICIENTS))
    assert found.integer("patients") == found.arrays["patients"][0] == found.arrays["patients"][-1] > 0
    assert found.integer("judged") == 0
    assert node.histograms(histograms(STUDY, COEFFICIENTS)).integer("patients") == 0  # stops at the gate


def test_histograms_count_the_rarer_outcome_and_part_no_fold_that_holds_too_few(final: Node) -> None:
    rows = [row for row in kept(final) if row["split"] == "validation"]
    outcomes = [int(str(row["outcome"])) for row in rows]
    found = final.histograms(histograms(STUDY, COEFFICIENTS))
    assert found.arrays["positives"][-1].sum() == sum(outcomes)
    assert found.arrays["negatives"][-1].sum() == len(rows) - sum(outcomes)
    assert found.integer("patients") == min(sum(outcomes), len(rows) - sum(outcomes))
    fold = folds_of([str(row["patient"]) for row in rows], folds=2, salt="wardround\x001", minimum_patients=2)
    smallest = min(
        sum(o == y for o, f in zip(outcomes, fold, strict=True) if f == k) for k in (0, 1) for y in (0, 1)
    )
    for j in (0, 1):
        left = [o for o, f in zip(outcomes, fold, strict=True) if f != j]
        assert found.arrays["positives"][j].sum() == (sum(left) if smallest >= 2 else 0)


def test_voxels_are_counted_by_patient_and_truth_and_only_the_sum_is_kept(
    final: Node, weights: Weights
) -> None:
    data = cache.load(final.cache_folder, STUDY)
    net = build(STUDY)
    set_weights(net, weights)
    net.eval()
    splits: tuple[Split, ...] = ("validation", "test")
    for split in splits:
        found = final.voxels(voxels(STUDY, split=split))
        by_patient: dict[str, np.ndarray] = {}
        for case in data.split(split):
            score = probabilities(net, case.image(final.cache_folder), STUDY)[1]
            label = np.asarray(case.label(final.cache_folder))
            counts = count_voxels(score, label, finding=[1], classes=1)
            by_patient[case.patient] = by_patient.get(case.patient, np.zeros_like(counts)) + counts
        expected = voxel_sums(by_patient.values())
        for name in ("other", "finding"):
            np.testing.assert_array_equal(found.arrays[name], expected[name])
        holding = sum(bool(counts[1].any()) for counts in by_patient.values())
        assert found.integer("patients") == holding < len(by_patient)
    (path,) = (final.site.work / "studies").glob("*.voxels.json")
    assert json.loads(path.read_text()).keys() == {"validation", "test"}


def test_voxels_of_too_few_patients_with_findings_stop_at_the_gate(final: Node) -> None:
    sent = final.voxels(voxels(STUDY))
    few = Policy(studies="any", minimum_patients=sent.integer("patients") + 1)
    with pytest.raises(PolicyError) as refusal:
        Gate(few, final.audit).release(sent)
    assert refusal.value.code == "policy.minimum_patients"
    Gate(few.model_copy(update={"minimum_patients": sent.integer("patients")}), final.audit).release(sent)


def test_a_study_that_calibrates_no_map_counts_no_voxels(
    phantoms: Path, tmp_path: Path, weights: Weights
) -> None:
    off = {"validation_fraction": 0.3, "test_fraction": 0.3, "voxel_temperature": False}
    study = tiny_study(evaluation=off)
    node = Node(site_at(phantoms, tmp_path / "work"))
    enrol(node, study)
    evaluate(node, study, weights, "test", final=True)
    assert not list((node.site.work / "studies").glob("*.voxels.json"))
    with pytest.raises(ConfigError, match="no temperature"):
        node.voxels(voxels(study))


def test_the_temperature_is_kept_with_the_model_at_the_site(final: Node, weights: Weights) -> None:
    temperature = VoxelTemperature(temperature=1.4, low=1.3, high=1.5, patients=9, study=STUDY.digest())
    finish(final, STUDY, weights, None, temperature)
    assert TrainedModel.load(final.site.work / "model").temperature == temperature
    finish(final, STUDY, weights, None)
    assert TrainedModel.load(final.site.work / "model").temperature is None


def test_a_map_goes_between_score_and_sums(final: Node) -> None:
    shift = Recalibration(kind="platt", parameters=(0.7, 1.0, 0.0, 0.0)).model_dump_json()
    plain = final.reliability(reliability(STUDY, COEFFICIENTS, calibrated=True))
    moved = final.reliability(reliability(STUDY, COEFFICIENTS, calibrated=True, calibration=shift))
    same = final.reliability(reliability(STUDY, [COEFFICIENTS[0] + 0.7, *COEFFICIENTS[1:]], calibrated=True))
    assert not np.array_equal(plain.arrays["probability_sum"], moved.arrays["probability_sum"])
    np.testing.assert_allclose(moved.arrays["probability_sum"], same.arrays["probability_sum"], atol=1e-12)


def test_one_scan_whose_value_cannot_be_is_left_out_and_costs_no_other(final: Node) -> None:
    before = final.newton(newton(STUDY, COEFFICIENTS)).integer("patients")
    (path,) = (final.site.work / "studies").glob("*.scans.json")
    rows = kept(final)
    next(row for row in rows if row["split"] == "validation")["features"]["volume_ml"] = -1.0  # type: ignore[index]
    path.write_text(json.dumps(rows))
    assert final.newton(newton(STUDY, COEFFICIENTS)).integer("patients") == before - 1


def test_scans_that_can_have_no_priority_are_named_in_the_sites_log(
    phantoms: Path, tmp_path: Path, weights: Weights
) -> None:
    assert STUDY.priority is not None
    terms = [{"feature": "finding_probability"}, {"feature": "age", "transform": "logit"}]
    study = tiny_study(priority={**STUDY.priority.model_dump(), "terms": terms})
    node = Node(site_at(phantoms, tmp_path / "work"))
    enrol(node, study)
    evaluate(node, study, weights, "test", final=True)
    assert (
        "left out of the priority, for a value that cannot be: phantom_"
        in (node.site.work / "site.log").read_text()
    )


def test_a_calibration_that_cannot_be_read_is_the_coordinators_fault(final: Node) -> None:
    for text in ("{", "[]", '{"kind": "spline"}'):
        with pytest.raises((WireError, ConfigError)):
            final.reliability(reliability(STUDY, COEFFICIENTS, calibrated=True, calibration=text))


def test_columns_that_the_site_lacks_are_counted_and_named_in_its_own_log(
    phantoms: Path, tmp_path: Path
) -> None:
    assert STUDY.priority is not None
    terms = [*STUDY.priority.model_dump()["terms"], {"feature": "smoker", "kind": "flag"}]
    study = tiny_study(priority={**STUDY.priority.model_dump(), "terms": terms})
    node = Node(site_at(phantoms, tmp_path / "work"))
    assert enrol(node, study).integer("history_lacking") == 1
    assert "smoker is missing for every patient" in (node.site.work / "site.log").read_text()
    assert enrol(Node(site_at(phantoms, tmp_path / "other")), STUDY).integer("history_lacking") == 0


def _design_row(features: object) -> list[float]:
    assert isinstance(features, dict)
    age = features.get("age")
    return [
        1.0,
        features["finding_probability"],
        math.log1p(features["volume_ml"]),
        0.0 if age is None else (age - 60) / 10,
    ]


@pytest.mark.parametrize("calibrated", [False, True])
def test_reliability_sums_probability_and_outcome(final: Node, calibrated: bool) -> None:
    coefficients = [-0.5, 1.2, 0.4, 0.3]
    found = final.reliability(reliability(STUDY, coefficients, calibrated=calibrated))
    rows = [row for row in kept(final) if row["split"] == "validation"]
    scores = [float(np.dot(coefficients, _design_row(row["features"]))) for row in rows]
    probability = [1 / (1 + math.exp(-s)) for s in scores]
    if not calibrated:
        probability = [_design_row(row["features"])[1] for row in rows]
    assert found.arrays["probability_sum"].sum() == pytest.approx(sum(probability))
    assert found.arrays["outcome_sum"].sum() == sum(int(str(row["outcome"])) for row in rows)
    assert found.arrays["patients"].sum() == found.integer("patients") == len(rows)


@pytest.mark.parametrize("other_study_first", [False, True])
def test_calibrating_before_the_final_evaluation_is_refused(
    node: Node, weights: Weights, other_study_first: bool
) -> None:
    if other_study_first:  # whose features must not be taken for this one's
        other = tiny_study(seed=2)
        enrol(node, other)
        evaluate(node, other, weights, "test", final=True)
    coefficients = [0.0] * 4
    with pytest.raises(DataError, match="the final evaluation has not run"):
        node.newton(newton(STUDY, coefficients))
    with pytest.raises(DataError, match="the final evaluation has not run"):
        node.voxels(voxels(STUDY))
    with pytest.raises(DataError, match="the final evaluation has not run"):
        node.reliability(reliability(STUDY, coefficients, calibrated=True))


def test_a_study_without_priority_cannot_be_calibrated(phantoms: Path, tmp_path: Path) -> None:
    study = tiny_study(priority=None)
    node = Node(site_at(phantoms, tmp_path / "work"))
    enrol(node, study)
    with pytest.raises(ConfigError, match="no priority section"):
        node.newton(newton(study, [0.0]))


def test_a_site_under_the_minimum_is_refused_at_the_gate(
    phantoms: Path, tmp_path: Path, weights: Weights
) -> None:
    site = site_at(phantoms, tmp_path / "work", policy={"studies": "any", "minimum_patients": PATIENTS})
    enrol(Node(site), STUDY)
    fields: Fields = {"run": "run-1", "study_digest": STUDY.digest(), "round": 1}
    reply = send(site, message(("train", fields, weights)))
    answer = reply.content.config_records["0"]
    assert (answer["kind"], answer["code"]) == ("failure", "policy.minimum_patients")
    assert len(message_to_proto(reply).SerializeToString()) < 2000  # no weights among it


@pytest.mark.parametrize("table", ["none", "no case column", "an unnamed case"])
def test_private_training_is_refused_where_a_person_cannot_be_told_from_a_case(
    phantoms: Path, tmp_path: Path, table: str
) -> None:
    path = tmp_path / "patients.csv"
    frame = pd.read_csv(phantoms / "patients.csv")
    if table == "no case column":
        frame = frame.assign(patient=frame["case"]).drop(columns="case")
    frame = frame.iloc[1:] if table == "an unnamed case" else frame
    frame.to_csv(path, index=False)
    changes = {"patients": None if table == "none" else path}
    with pytest.raises(DataError, match="one_patient_per_case"):
        enrol(Node(site_at(phantoms, tmp_path / "work", **changes)), PRIVATE)
    stated = Node(site_at(phantoms, tmp_path / "work", **changes, one_patient_per_case=True))
    assert enrol(stated, PRIVATE).integer("train") > 0


def test_private_training_answers_what_it_has_spent_and_no_loss(
    phantoms: Path, tmp_path: Path, weights: Weights
) -> None:
    node = Node(site_at(phantoms, tmp_path / "work"))
    enrol(node, PRIVATE)
    found = train(node, PRIVATE, weights)
    assert 0 < float(found.fields["epsilon"]) < 8
    assert (found.fields["delta"], found.fields["loss"]) == (1e-3, 0.0)
    again = train(node, PRIVATE, weights)
    assert all(np.array_equal(found.arrays[n], again.arrays[n]) for n in weights)
    assert len((node.site.work / "ledger.jsonl").read_text().splitlines()) == 1


def test_a_private_round_on_changed_scans_never_shares_its_noise(
    phantoms: Path, tmp_path: Path, weights: Weights
) -> None:
    data = tmp_path / "data"
    shutil.copytree(phantoms, data)
    node = Node(site_at(data, tmp_path / "work"))
    enrol(node, PRIVATE)
    train(node, PRIVATE, weights)
    trained = [c.case for c in cache.load(node.cache_folder, PRIVATE).split("train")]
    for folder in ("imagesTr", "labelsTr"):  # as many patients as before, but one has another's scan
        shutil.copy(data / folder / f"{trained[0]}.nii.gz", data / folder / f"{trained[1]}.nii.gz")
    enrol(node, PRIVATE)
    train(node, PRIVATE, weights)
    seeds = [json.loads(line)["seed"] for line in (node.site.work / "ledger.jsonl").read_text().splitlines()]
    assert len(set(seeds)) == 2


@pytest.mark.parametrize("intercepts", [["intercept"], ["intercept[north]", "intercept[south]"]])
def test_finishing_writes_what_the_doctor_reads(final: Node, weights: Weights, intercepts: list[str]) -> None:
    priority = priority_of(STUDY, {**dict.fromkeys(intercepts, -0.4), **SLOPES})
    found = finish(final, STUDY, weights, priority)
    work = final.site.work
    listed = [row["case"] for row in kept(final) if row["split"] == "test"]
    assert found.fields == {"site": "north", "patients": len(listed), "seismometer": "off"}
    table = pd.read_csv(work / "worklist.csv", float_precision="round_trip")
    assert sorted(table["case"]) == sorted(map(str, listed))
    assert table["probability"].is_monotonic_decreasing
    because = [column for column in table.columns if column.startswith(REASON_PREFIX)]
    for _, row in table.iterrows():
        assert math.fsum([row["intercept"], row["calibration"], *row[because]]) == row["log_odds"]
    predictions = pd.read_csv(work / "predictions.csv", float_precision="round_trip")
    assert len(predictions) == len(kept(final))
    both = table.merge(predictions, on="case")
    assert (both["probability_x"] == both["probability_y"]).all()
    loaded = TrainedModel.load(work / "model")
    assert (loaded.study, loaded.priority) == (STUDY, priority)
    captions = json.loads((work / "overlays" / "captions.json").read_text())
    assert sorted(captions) == ["best.png", "median.png", "worst.png"]
    assert all((work / "overlays" / name).is_file() for name in captions)
    assert "phantom_" not in json.dumps(captions)


def test_the_pictures_outline_classes_and_never_what_nobody_has_judged(final: Node, weights: Weights) -> None:
    def pictures() -> list[bytes]:
        finish(final, STUDY, weights, None)
        return [path.read_bytes() for path in sorted((final.site.work / "overlays").glob("*.png"))]

    before = pictures()
    for path in final.cache_folder.glob("*.label.npy"):
        label = np.load(path)
        np.save(path, np.where(label == 0, UNLABELLED, label).astype(np.uint8))
    assert pictures() == before
    assert len(before) == 3


def test_finishing_without_a_calibration_writes_predictions_alone(final: Node, weights: Weights) -> None:
    found = finish(final, STUDY, weights, None)
    assert found.fields["seismometer"] == "no outcome"
    assert not (final.site.work / "worklist.csv").exists()
    assert pd.read_csv(final.site.work / "predictions.csv")["probability"].isna().all()


def test_a_split_that_does_not_exist_is_refused(node: Node, weights: Weights) -> None:
    with pytest.raises(WireError, match="'holdout', expected one of"):
        evaluate(node, STUDY, weights, "holdout", final=False)


def test_a_site_without_training_cases_says_so(phantoms: Path, tmp_path: Path, weights: Weights) -> None:
    study = tiny_study(evaluation={"validation_fraction": 0.0, "test_fraction": 0.9999999})
    node = Node(site_at(phantoms, tmp_path / "work"))
    enrol(node, study)
    with pytest.raises(DataError, match="no training case"):
        train(node, study, weights)


def test_every_deliberate_error_has_a_code_without_a_text(node: Node) -> None:
    with pytest.raises(WardroundError) as error:
        node.newton(Record("newton", {**newton(STUDY, [0.0]).fields, "study_digest": "unknown"}))
    assert error.value.code == "config"
