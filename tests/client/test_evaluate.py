from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.data import cache
from client.evaluate import evaluate_folder
from client.node import Node
from client.training import Span, train
from shared.errors import DataError
from shared.metrics import finish_segmentation
from shared.model import TrainedModel, initial_weights
from shared.sums import Sums
from simulations.phantoms import PhantomSite, write_site
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


@pytest.mark.parametrize("common", [False, True])
def test_a_folder_of_no_known_site_is_judged_by_the_common_intercept(
    common: bool, phantoms: Path, weights: Weights
) -> None:
    own = ("intercept[north]", "intercept[south]")
    found = evaluate_folder(model_of(weights, *(("intercept",) if common else ()), *own), phantoms)
    assert (found.calibration is not None) == common
    assert found.figures["scans"] == PATIENTS


def test_a_split_without_cases_is_an_error(phantoms: Path, weights: Weights) -> None:
    model = model_of(weights, evaluation={"validation_fraction": 0.0, "test_fraction": 0.2})
    with pytest.raises(DataError, match="no usable case in split 'validation'"):
        evaluate_folder(model, phantoms, split="validation")


def test_errors_are_counted_scan_by_scan_and_finding_by_finding(phantoms: Path, weights: Weights) -> None:
    flips = {**STUDY.evaluation.model_dump(), "flips": ["y"]}
    model = model_of(weights, evaluation=flips)
    found = evaluate_folder(model, phantoms, uncertainty=True)
    plain = evaluate_folder(model, phantoms)
    assert plain.error_detection is None
    assert found.figures == plain.figures  # the study's own flips are read either way
    detection = found.error_detection
    assert detection is not None
    assert (detection["flips"], detection["networks"]) == (["y"], 1)
    scans = detection["scans"]
    assert scans["cases"] == PATIENTS
    # An untrained network finds something in every scan, nowhere near as large as it is.
    assert scans["errors"] == PATIENTS
    assert scans["area"] is None
    assert detection["findings"]["cases"] >= PATIENTS
    assert found.as_json()["error_detection"] == detection


def test_without_flips_of_its_own_a_study_is_read_along_all_axes_and_with_others(
    phantoms: Path, weights: Weights
) -> None:
    model = model_of(weights)
    other = {name: array * 0.5 for name, array in weights.items()}
    found = evaluate_folder(model, phantoms, uncertainty=True, others=[model_of(other).network()])
    assert found.error_detection is not None
    assert (found.error_detection["flips"], found.error_detection["networks"]) == (["x", "y", "z"], 2)
    assert found.figures != evaluate_folder(model, phantoms).figures


SIDE = 24
TRAINED_ON, JUDGED_ON = 24, 40


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """A network that finds most tumours of the first hospital and outlines some of them badly."""
    folder = tmp_path_factory.mktemp("trained")
    study = tiny_study(
        preprocessing={"crop_foreground": False, "shape": [SIDE] * 3},
        model={"channels": [8, 16, 32]},
        training={"rounds": 1, "window": [SIDE] * 3, "batch_size": 2, "learning_rate": 0.01},
    )
    write_site(folder, PhantomSite(patients=TRAINED_ON, shape=(SIDE,) * 3), seed=11, site_index=0)
    data = cache.prepare(folder, layout=None, patients_csv=None, study=study, cache_folder=folder / "cache")
    cases = [(c.image(data.folder), c.label(data.folder)) for c in data.cases]
    start, rng = initial_weights(study), np.random.default_rng(0)
    return TrainedModel(study, train(start, cases, study, epochs=20, span=Span(), rng=rng).weights, None)


def test_uncertainty_ranks_the_errors_of_a_trained_network(trained: TrainedModel, tmp_path: Path) -> None:
    write_site(tmp_path, PhantomSite(patients=JUDGED_ON, shape=(SIDE,) * 3), seed=500, site_index=0)
    found = evaluate_folder(trained, tmp_path, uncertainty=True)
    assert found.error_detection is not None
    for case in ("scans", "findings"):
        figures = found.error_detection[case]
        assert figures["errors"] >= 4, case
        assert figures["cases"] - figures["errors"] >= 4, case
        assert figures["area"] - figures["area_bound"] > 0.6, case
