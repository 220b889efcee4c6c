"""Readings that agree are sure, readings that differ are not; and the figures are what they say they are."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from client.inference import probabilities
from client.uncertainty import Readings, doubted, of_findings, of_scan, read
from shared.errors import ConfigError
from shared.model import build
from shared.study import Axis, Study
from tests.client.findings.grids import certain, found_at, study_of
from tests.client.hospital import tiny_study

STUDY = study_of(finding=["tumour"])


def network(seed: int, study: Study = STUDY) -> nn.Module:
    torch.manual_seed(seed)
    return build(study).eval()


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)


def readings_of(*segmentations: np.ndarray, sure: float = 0.9) -> Readings:
    """As `read` would give for networks that are certain of these."""
    total = sum((certain(s, sure) for s in segmentations[1:]), start=certain(segmentations[0], sure))
    mean = (total / len(segmentations)).astype(np.float32)
    return Readings(
        mean, np.zeros(mean.shape[1:], np.float32), tuple(np.packbits(s == 2) for s in segmentations)
    )


def test_one_reading_is_the_plain_one_to_the_bit_and_says_nothing_of_doubt() -> None:
    net, scan = network(1), image(16, 16, 16)
    one = read([net], scan, STUDY)
    np.testing.assert_array_equal(one.probabilities, probabilities(net, scan, STUDY))
    assert (len(one), one.disagreement) == (1, None)
    found = found_at(one.probabilities, STUDY)
    assert doubted(found, one) is found
    assert "uncertainty" not in found.features


@pytest.mark.parametrize("flips", [(), ("x",), ("z", "y"), ("x", "y", "z")])
@pytest.mark.parametrize("networks", [1, 3])
def test_readings_are_every_network_straight_and_mirrored(networks: int, flips: tuple[Axis, ...]) -> None:
    nets, scan = [network(seed) for seed in range(networks)], image(16, 8, 24)
    every = []
    for net in nets:
        every.append(probabilities(net, scan, STUDY))
        for name in flips:
            axis = 1 + "xyz".index(name)
            every.append(np.flip(probabilities(net, np.flip(scan, axis).copy(), STUDY), axis))
    found = read(nets, scan, STUDY, flips=flips)
    assert len(found) == networks * (1 + len(flips))
    np.testing.assert_allclose(found.probabilities, np.mean(every, axis=0), atol=1e-6)
    for number, one in enumerate(every):
        np.testing.assert_array_equal(found.mask(number), one[2] > STUDY.evaluation.threshold)


def test_disagreement_is_the_information_between_class_and_reading() -> None:
    nets, scan = [network(seed) for seed in range(3)], image(8, 8, 8)
    found = read(nets, scan, STUDY, flips=("x",))
    every = [p for net in nets for p in (_straight(net, scan), _mirrored(net, scan))]
    joint = np.array(every, np.float64) / 6  # (reading, class, X, Y, Z)
    alone = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    expected = (joint * np.log(joint / alone)).sum(axis=(0, 1)) / np.log(3)
    assert found.disagreement is not None
    np.testing.assert_allclose(found.disagreement, expected, atol=1e-5)
    assert expected.max() > 0.001
    same = read([nets[0], nets[0]], scan, STUDY).disagreement
    assert same is not None
    assert same.max() < 1e-5


def _straight(net: nn.Module, scan: np.ndarray) -> np.ndarray:
    return probabilities(net, scan, STUDY)


def _mirrored(net: nn.Module, scan: np.ndarray) -> np.ndarray:
    return np.flip(probabilities(net, np.flip(scan, 1).copy(), STUDY), 1)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum()) if a.any() or b.any() else 1.0


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), readings=st.integers(2, 5), share=st.sampled_from([0.0, 0.05, 0.3]))
def test_figures_are_those_of_masks_compared_one_by_one(seed: int, readings: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    base = rng.random((7, 6, 5)) < share
    segmentations = [np.where(base ^ (rng.random(base.shape) < 0.05), 2, 0) for _ in range(readings)]
    several = readings_of(*segmentations)
    found = found_at(several.probabilities, STUDY)
    where = 1 - np.mean([dice(a == 2, b == 2) for a, b in combinations(segmentations, 2)])
    p = found.finding_probability
    assert of_scan(found, several) == pytest.approx(max(where, 2 * min(p, 1 - p)))
    figures = of_findings(found, several)
    assert len(figures) == found.finding_count
    for number, figure in enumerate(figures, start=1):
        own = found.components == number
        agreed = []
        for segmentation in segmentations:
            parts = found_at(certain(segmentation), STUDY).components
            touching = np.isin(parts, np.setdiff1d(parts[own], [0]))
            agreed.append(dice(own, touching))
        assert figure == pytest.approx(1 - np.mean(agreed))


def test_a_finding_in_half_of_the_readings_is_less_sure_than_one_in_all() -> None:
    both, one = np.zeros((2, 20, 20, 6), np.uint8)
    both[2:8, 2:8, 1:4] = one[2:8, 2:8, 1:4] = 2
    both[12:17, 12:17, 1:4] = 2
    several = readings_of(both, both, one)
    found = doubted(found_at(several.probabilities, STUDY), several)
    sure, unsure = found.findings
    assert sure.uncertainty == 0
    assert unsure.uncertainty == pytest.approx(1 / 3)
    assert found.features["uncertainty"] == found.uncertainty
    assert found.uncertainty is not None
    assert 0 < found.uncertainty < 1


def test_a_scan_that_all_readings_find_empty_is_in_doubt_by_its_probability_alone() -> None:
    nothing = np.zeros((8, 8, 8), np.uint8)
    for sure in (0.999, 0.6):
        several = readings_of(nothing, nothing, sure=sure)
        found = doubted(found_at(several.probabilities, STUDY), several)
        assert found.uncertainty == pytest.approx(2 * (1 - sure) / 2, abs=1e-6)


def test_a_study_says_along_which_axes_and_needs_to_where_its_score_has_the_term() -> None:
    term = {"urgent": {"outcome": "urgent"}, "terms": [{"feature": "uncertainty"}]}
    with pytest.raises(ConfigError, match=r"uncertainty needs evaluation\.flips"):
        tiny_study(priority=term)
    study = tiny_study(priority=term, evaluation={"flips": ["x", "y"]})
    assert study.evaluation.flips == ("x", "y")
    with pytest.raises(ConfigError, match="each axis once"):
        tiny_study(evaluation={"flips": ["x", "x"]})
    flat = {"model": {"channels": [4, 8], "dimensions": 2}, "training": {"window": [16, 16, 1]}}
    with pytest.raises(ConfigError, match="2-D model reads each slice alone"):
        tiny_study(**flat, preprocessing={}, evaluation={"flips": ["z"]})
