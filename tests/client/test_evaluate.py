from pathlib import Path
from typing import Any

import pytest

from client.evaluate import evaluate_folder
from client.node import Node
from shared.errors import DataError
from shared.metrics import finish_segmentation
from shared.model import TrainedModel
from shared.sums import Sums
from tests.client.hospital import PATIENTS, Weights, evaluate, priority_of, tiny_study

STUDY = tiny_study()
SLOPES = {"finding_probability": 1.2, "volume_ml": 0.4, "age": 0.3}


def model_of(weights: Weights, *intercepts: str, **changes: Any) -> TrainedModel:
    study = tiny_study(**changes)
    priority = priority_of(study, {**dict.fromkeys(intercepts, -0.4), **SLOPES}) if intercepts else None
    return TrainedModel(study, weights, priority)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_folder_is_judged_exactly_as_its_hospital_judges_it(
    node: Node, phantoms: Path, weights: Weights, split: str
) -> None:
    site = evaluate(node, STUDY, weights, split, final=True)
    expected = finish_segmentation(Sums.from_arrays(site.arrays, None), STUDY.task.classes)
    found = evaluate_folder(model_of(weights), phantoms, split=split)
    assert found.figures == expected
    assert found.as_json()["split"] == split


def test_all_splits_are_judged_together_and_their_calibration_with_them(
    phantoms: Path, weights: Weights
) -> None:
    steps: list[tuple[str, int, int]] = []
    found = evaluate_folder(
        model_of(weights, "intercept"), phantoms, progress=lambda *step: steps.append(step)
    )
    assert found.figures["scans"] == PATIENTS
    assert found.calibration is not None
    assert found.calibration["n"] == PATIENTS
    assert steps[-1] == ("scoring", PATIENTS, PATIENTS)
    assert found.skipped == {}


def test_a_folder_of_no_known_site_has_no_calibration_by_sites(phantoms: Path, weights: Weights) -> None:
    assert STUDY.priority is not None
    priority = {**STUDY.priority.model_dump(), "site_intercept": True}
    model = model_of(weights, "intercept[north]", "intercept[south]", priority=priority)
    found = evaluate_folder(model, phantoms)
    assert found.calibration is None
    assert found.figures["scans"] == PATIENTS


def test_a_split_without_cases_is_an_error(phantoms: Path, weights: Weights) -> None:
    model = model_of(weights, evaluation={"validation_fraction": 0.0, "test_fraction": 0.2})
    with pytest.raises(DataError, match="no usable case in split 'validation'"):
        evaluate_folder(model, phantoms, split="validation")
