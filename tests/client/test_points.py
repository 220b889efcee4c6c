"""From sparse points on phantoms to a model that knows more than the points, and from several channels."""

from typing import Any

import numpy as np
import pytest

from client.findings import judge
from client.inference import probabilities
from client.training import Case, Span, train
from shared.metrics import finish_segmentation, segmentation_sums
from shared.model import Weights, build, initial_weights, set_weights
from shared.study import Study
from shared.unlabelled import UNLABELLED
from simulations.anatomy import SHIFTS, draw_scan
from tests.client.findings.grids import found_at
from tests.client.hospital import tiny_study

SIDE = 24
POINTS = 40
"""Of each kind in each scan, of 13 824 voxels."""


def study_of(*, truth: str = "points", channels: tuple[str, ...] = ("image",), rounds: int = 1) -> Study:
    return tiny_study(
        task={"classes": ["tumour"], "truth": truth, "channels": channels},
        preprocessing={},
        model={"channels": [8, 16]},
        training={"rounds": rounds, "window": [16] * 3, "batch_size": 2, "learning_rate": 0.01},
    )


def phantom(seed: int) -> Case:
    """A scan (1, X, Y, Z) of mean 0 and standard deviation 1, and where its tumour is."""
    shift = SHIFTS[0].model_copy(update={"prevalence": 1.0})
    scan = draw_scan(np.random.default_rng(seed), shift, (SIDE,) * 3)
    image = (scan.image - scan.image.mean()) / scan.image.std()
    return image[None].astype(np.float32), scan.label


def sparse(label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Keep a few voxels of each class; nobody has judged the others."""
    kept = np.full_like(label, UNLABELLED)
    for value in (0, 1):
        places = np.flatnonzero(label == value)
        kept.flat[rng.choice(places, min(POINTS, len(places)), replace=False)] = value
    return kept


def figures(weights: Weights, cases: list[Case], study: Study) -> dict[str, Any]:
    """What evaluation would say of these scans."""
    net = build(study)
    set_weights(net, weights)
    results = []
    for image, label in cases:
        found = probabilities(net.eval(), image, study)
        counted = (int(np.count_nonzero(label == 1)),)
        findings = found_at(found, study, (1.5,) * 3)
        results.append(judge(findings, label, counted, study, probabilities=found))
    return finish_segmentation(segmentation_sums(results, bins=100), study.task.classes)


@pytest.fixture(scope="module")
def whole() -> list[Case]:
    return [phantom(seed) for seed in range(14)]


def test_training_on_sparse_points_learns_what_the_points_are_samples_of(whole: list[Case]) -> None:
    study, rng = study_of(), np.random.default_rng(0)
    cases = [(image, sparse(label, rng)) for image, label in whole]
    seen, unseen = cases[:10], cases[10:]
    start = initial_weights(study)

    def trained(epochs: int) -> Any:
        return train(start, seen, study, epochs=epochs, span=Span(), rng=np.random.default_rng(1))

    first, long = trained(1), trained(15)
    assert long.loss < first.loss - 0.2
    before, after = figures(start, unseen, study), figures(long.weights, unseen, study)
    assert after["az"] > max(0.8, before["az"])
    assert after["dice"] > before["dice"]
    assert after["sensitivity"] is None
    # What was learnt from 80 voxels of a scan holds for all of them; how common tumour is, points do not say.
    assert figures(long.weights, whole[10:], study)["az"] > 0.9
    assert figures(long.weights, whole[10:], study_of(truth="label"))["az"] is None


def in_channels(seed: int) -> Case:
    """A tumour is where the third channel lies above the first; each channel alone is noise."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 1, (3, 16, 16, 16)).astype(np.float32)
    label = np.zeros((16, 16, 16), np.uint8)
    x, y, z = rng.integers(0, 10, 3)
    label[x : x + 6, y : y + 6, z : z + 6] = 1
    image[2] = image[0] + label + rng.normal(0, 0.1, label.shape)
    return image, label


@pytest.mark.parametrize("truth", ["label", "points"])
def test_three_channels_are_learnt_from_each_in_its_place(truth: str) -> None:
    study, rng = study_of(truth=truth, channels=("t1", "t2", "flair")), np.random.default_rng(0)
    cases = [in_channels(seed) for seed in range(12)]
    shown = [(image, sparse(label, rng) if truth == "points" else label) for image, label in cases]
    start = initial_weights(study)
    weights = train(start, shown[:8], study, epochs=15, span=Span(), rng=rng).weights
    found = figures(weights, shown[8:], study)
    swapped = figures(weights, [(image[[2, 1, 0]], label) for image, label in shown[8:]], study)
    assert found["dice"] > 0.8
    assert swapped["dice"] < 0.5
    if truth == "points":
        assert found["az"] > 0.95
