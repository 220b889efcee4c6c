"""Findings against a reference: voxels, the scan as a whole, points, and each finding by itself."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from client.findings import judge, spurious
from shared.unlabelled import UNLABELLED
from tests.client.findings.grids import certain, found_at, found_in, study_of

SPACING_MM = (1.0, 2.0, 5.0)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), minimum=st.sampled_from([0.0, 0.03]), threshold=st.floats(0.2, 0.8))
def test_what_is_found_can_always_be_judged(seed: int, minimum: float, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    study = study_of(minimum_ml=minimum, threshold=threshold)
    raw = rng.random((3, 6, 5, 4), dtype=np.float32) ** 4
    probabilities = raw / raw.sum(axis=0)
    found = found_at(probabilities, study, SPACING_MM)
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
    found = found_at(sure, study, SPACING_MM)
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
    found = found_at(probabilities, study, SPACING_MM)
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


def test_a_finding_that_meets_no_reference_is_spurious_however_near_it_lies() -> None:
    predicted, label = np.zeros((2, 12, 12, 4), np.uint8)
    predicted[0:3, 0:3] = predicted[6:8, 6:8] = predicted[11, 11, 0] = 2
    label[2:5, 2:5] = 2  # meets a corner of the largest finding only
    label[8, 8] = 2  # touches the second at a corner
    label[11, 11] = 1  # an organ is no finding
    study = study_of(finding=["tumour"])
    found = found_in(predicted, study)
    assert [f.voxels for f in found.findings] == [36, 16, 1]
    assert spurious(found, label, study) == (False, True, True)
    assert spurious(found, label, study_of()) == (False, True, False)
    assert spurious(found_in(np.zeros_like(label), study), label, study) == ()
