from typing import Any

import numpy as np
import pytest
import torch

from client.inference import probabilities
from shared.model import build
from shared.study import Study
from tests.client.hospital import tiny_study


def study_of(dimensions: int, inference: str) -> Study:
    window = [16, 16, 16] if dimensions == 3 else [16, 16, 1]
    changes: dict[str, Any] = {
        "task": {"classes": ["organ", "tumour"]},
        "preprocessing": {},
        "model": {"channels": [4, 8], "dimensions": dimensions},
        "training": {"window": window},
        "evaluation": {"inference": inference},
    }
    return tiny_study(**changes)


def scan(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)


def network(study: Study) -> torch.nn.Module:
    torch.manual_seed(0)
    return build(study).eval()


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("inference", ["whole", "sliding"])
@pytest.mark.parametrize("shape", [(16, 16, 16), (32, 24, 6), (18, 16, 20)])
def test_every_class_has_a_probability_and_they_sum_to_one(
    dimensions: int, inference: str, shape: tuple[int, int, int]
) -> None:
    study = study_of(dimensions, inference)
    found = probabilities(network(study), scan(*shape), study)
    assert (found.shape, str(found.dtype)) == ((3, *shape), "float32")
    assert found.min() >= 0
    assert found.max() <= 1
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-6)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_one_window_and_the_whole_agree_on_a_scan_of_the_windows_size(dimensions: int) -> None:
    shape = (16, 16, 16) if dimensions == 3 else (16, 16, 5)
    whole, sliding = study_of(dimensions, "whole"), study_of(dimensions, "sliding")
    net, image = network(whole), scan(*shape)
    expected = probabilities(net, image, whole)
    np.testing.assert_allclose(probabilities(net, image, sliding), expected, atol=1e-5)


def test_a_2d_model_sees_each_axial_slice_alone() -> None:
    study = study_of(2, "whole")
    net, image = network(study), scan(16, 16, 4)
    found = probabilities(net, image, study)
    for k in range(4):
        with torch.inference_mode():
            alone = torch.softmax(net(torch.from_numpy(image[None, :, :, :, k])), dim=1)[0].numpy()
        np.testing.assert_allclose(found[..., k], alone, atol=1e-6)


def test_a_mapped_scan_is_left_as_it_was() -> None:
    study, image = study_of(3, "whole"), scan(16, 16, 16)
    image.setflags(write=False)
    probabilities(network(study), image, study)
