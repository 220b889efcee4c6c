from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.findings import find, judge
from shared.study import Study
from shared.unlabelled import UNLABELLED
from tests.client.hospital import tiny_study

SPACING_MM = (1.0, 2.0, 5.0)  # 0.01 ml a voxel


def study_of(
    *,
    minimum_ml: float = 0.0,
    finding: list[str] | None = None,
    threshold: float = 0.5,
    truth: str = "label",
) -> Study:
    task: dict[str, Any] = {"classes": ["organ", "tumour"], "minimum_finding_ml": minimum_ml, "truth": truth}
    return tiny_study(task={**task, "finding": finding}, evaluation={"threshold": threshold})


def certain(segmentation: np.ndarray, sure: float = 0.9) -> np.ndarray:
    """Probabilities (3, X, Y, Z) that say `segmentation` with so much certainty."""
    found = np.full((3, *segmentation.shape), (1 - sure) / 2, np.float32)
    np.put_along_axis(found, segmentation[None].astype(int), sure, axis=0)
    return found


def picture() -> np.ndarray:
    """Organ of 27 voxels; tumours of 8, of 2 that touch at a corner, and of 1."""
    label = np.zeros((16, 16, 16), np.uint8)
    label[1:4, 1:4, 1:4] = 1
    label[8:10, 8:10, 8:10] = 2
    label[12, 12, 12] = label[13, 13, 13] = 2
    label[15, 0, 15] = 2
    return label


def test_volume_and_count_are_those_of_the_finding_classes() -> None:
    found = find(certain(picture()), study_of(finding=["tumour"]), spacing_mm=SPACING_MM)
    assert found.volume_ml == pytest.approx(0.11)
    assert found.finding_count == 3  # corner neighbours belong together
    np.testing.assert_array_equal(found.segmentation, picture())
    every = find(certain(picture()), study_of(), spacing_mm=SPACING_MM)
    assert [every.finding_count, every.volume_ml] == pytest.approx([4, 0.38])
    assert every.features == {
        "finding_probability": every.finding_probability,
        "volume_ml": every.volume_ml,
        "finding_count": 4.0,
    }


def test_a_small_component_is_no_finding_and_leaves_the_segmentation() -> None:
    study = study_of(minimum_ml=0.05, finding=["tumour"])
    found = find(certain(picture()), study, spacing_mm=SPACING_MM)
    assert [found.finding_count, found.volume_ml] == pytest.approx([1, 0.08])
    assert int((found.segmentation == 2).sum()) == 8
    assert int((found.segmentation == 1).sum()) == 27  # never a finding, so never removed


def test_a_component_of_exactly_the_minimum_is_a_finding() -> None:
    study = study_of(minimum_ml=0.02, finding=["tumour"])
    assert find(certain(picture()), study, spacing_mm=SPACING_MM).finding_count == 2


def test_one_noisy_voxel_is_not_a_certain_finding() -> None:
    label = np.zeros((16, 16, 16), np.uint8)
    label[5, 5, 5] = 2
    study = study_of(finding=["tumour"])
    assert find(certain(label, 1.0), study, spacing_mm=SPACING_MM).finding_probability < 0.05
    label[4:7, 4:7, 4:7] = 2
    assert find(certain(label, 1.0), study, spacing_mm=SPACING_MM).finding_probability == pytest.approx(1)


def test_a_scan_without_findings_has_none() -> None:
    found = find(certain(np.zeros((16, 16, 1), np.uint8), 1.0), study_of(), spacing_mm=SPACING_MM)
    assert (found.finding_probability, found.volume_ml, found.finding_count) == (0, 0, 0)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), minimum=st.sampled_from([0.0, 0.03]), threshold=st.floats(0.2, 0.8))
def test_what_is_found_can_always_be_judged(seed: int, minimum: float, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    study = study_of(minimum_ml=minimum, threshold=threshold)
    raw = rng.random((3, 6, 5, 4), dtype=np.float32) ** 4
    probabilities = raw / raw.sum(axis=0)
    found = find(probabilities, study, spacing_mm=SPACING_MM)
    label = rng.integers(0, 3, (6, 5, 4)).astype(np.uint8)
    beyond = rng.integers(0, 5, 2)
    reference = tuple(int((label == c).sum() + beyond[c - 1]) for c in (1, 2))
    result = judge(found, label, reference, study, probabilities=probabilities)
    for c in (1, 2):
        pairs = [(p == c, t == c) for p, t in zip(found.segmentation.flat, label.flat, strict=True)]
        assert result.intersection[c - 1] == sum(p and t for p, t in pairs)
        assert result.predicted[c - 1] == sum(p for p, _ in pairs)
    assert tuple(result.reference) == reference
    assert result.predicted_finding == (found.finding_count > 0)


def test_what_a_crop_cut_off_still_counts_as_a_finding_that_was_missed() -> None:
    label = np.zeros((8, 8, 8), np.uint8)
    study = study_of(finding=["tumour"])
    sure = certain(label)
    found = find(sure, study, spacing_mm=SPACING_MM)
    assert judge(found, label, (0, 7), study, probabilities=sure).reference_finding
    assert not judge(found, label, (7, 0), study, probabilities=sure).reference_finding


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.0, 0.1, 1.0]))
def test_on_points_only_labelled_voxels_count_and_no_scan_is_called_free_of_findings(
    seed: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    study = study_of(truth="points")
    raw = rng.random((3, 6, 5, 4), dtype=np.float32) ** 4
    probabilities = raw / raw.sum(axis=0)
    found = find(probabilities, study, spacing_mm=SPACING_MM)
    label = np.where(rng.random((6, 5, 4)) < share, rng.integers(0, 3, (6, 5, 4)), UNLABELLED)
    counted = tuple(int((label == c).sum()) for c in (1, 2))
    result = judge(found, label.astype(np.uint8), counted, study, probabilities=probabilities)
    voxels = [v for v in np.ndindex(label.shape) if label[v] != UNLABELLED]
    for c in (1, 2):
        assert result.predicted[c - 1] == sum(found.segmentation[v] == c for v in voxels)
        assert result.intersection[c - 1] == sum(found.segmentation[v] == label[v] == c for v in voxels)
    assert result.reference_finding is None
    assert result.points is not None
    assert result.points.positive.tolist() == [label[v] > 0 for v in voxels]
    expected = [probabilities[1][v] + probabilities[2][v] for v in voxels]
    np.testing.assert_allclose(result.points.probability, expected, atol=1e-6)
