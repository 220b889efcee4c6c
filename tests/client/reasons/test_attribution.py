"""Integrated gradients against what they must be; a network trained here on phantoms answers for the rest."""

import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss
from scipy.ndimage import binary_dilation
from scipy.stats import spearmanr
from torch import nn

from client.reasons import attribution as module
from client.reasons.attribution import CLOSE, MOST_SIDE, Attribution, attribution
from shared.model import build
from shared.study import Study
from simulations.phantoms import PhantomSite, draw_case, site_shift
from tests.client.hospital import tiny_study

SIDE = 24


def study_of(**changes: object) -> Study:
    values = {
        "preprocessing": {"shape": [SIDE] * 3},
        "model": {"channels": [8, 16], "residual_units": 0},
        "training": {"window": [SIDE] * 3},
    }
    return tiny_study(**{**values, **changes})


STUDY = study_of()


def phantoms(first: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(1, X, Y, Z) z-scored, (X, Y, Z) bool: only those that hold a tumour."""
    site, found = PhantomSite(patients=1, shift=site_shift(0, seed=0), shape=(SIDE,) * 3), []
    for index in range(first, first + count):
        drawn = draw_case(site, seed=3, site_index=0, case_index=index)
        image = drawn.image.astype(np.float32)
        if drawn.label.any():
            found.append((((image - image.mean()) / image.std())[None], drawn.label > 0))
    return found


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """Train a U-Net of two levels for some seconds."""
    torch.manual_seed(0)
    net, rng = build(STUDY), np.random.default_rng(0)
    pairs = phantoms(0, 60)
    images = torch.from_numpy(np.stack([image for image, _ in pairs]))
    labels = torch.from_numpy(np.stack([label for _, label in pairs]))[:, None].long()
    criterion = DiceCELoss(softmax=True, to_onehot_y=True, include_background=False)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(120):
        chosen = rng.choice(len(pairs), 4, replace=False)
        optimiser.zero_grad()
        criterion(net(images[chosen]), labels[chosen]).backward()
        optimiser.step()
    return net.eval()


@pytest.fixture(scope="module")
def randomised() -> nn.Module:
    torch.manual_seed(5)
    return build(STUDY).eval()


def of(net: nn.Module, image: np.ndarray, finding: np.ndarray, study: Study = STUDY) -> Attribution:
    found = attribution(net, image, finding, study)
    assert found is not None
    return found


class Weighed(nn.Module):
    """Logits whose difference is a weight times each voxel: its attributions are known."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.from_numpy(weights))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        score = (image * self.weights).sum() * torch.ones_like(image[:, :1])
        return torch.cat([torch.zeros_like(score), score], dim=1)


def test_of_a_linear_network_they_are_weight_times_what_the_blur_took_away() -> None:
    weights = np.random.default_rng(1).normal(size=(1, SIDE, SIDE, SIDE)).astype(np.float32)
    image = np.zeros((1, SIDE, SIDE, SIDE), np.float32)
    image[0, 10:14, 10:14, 10:14] = 5
    found = of(Weighed(weights), image, image[0] > 0)
    faded = found.values / weights[0]
    inside = image[0] > 0
    assert (faded[inside] > 4).all()  # nearly all of 5 was gone
    assert (faded[~inside] <= 1e-6).all()  # and has gone to the surroundings
    assert found.gap == pytest.approx(0, abs=1e-3)


def test_the_attributions_add_up_to_what_the_scan_adds(trained: nn.Module) -> None:
    for image, label in phantoms(100, 6):
        found = of(trained, image, label)
        assert found.difference > 1  # the network sees the tumour, and not in the blurred scan
        assert abs(found.gap) <= CLOSE * found.difference
        assert found.values.sum() == pytest.approx(found.difference, rel=CLOSE)
        assert f"{found.difference + found.gap:+.2f}" in found.text


def test_they_are_higher_inside_planted_tumours_than_outside(trained: nn.Module) -> None:
    ratios = []
    for image, label in phantoms(100, 12):
        found = of(trained, image, label)
        ratios.append(found.values[label].mean() / np.abs(found.values[~label]).mean())
    assert np.median(ratios) > 5
    assert min(ratios) > 1


def test_they_change_when_the_weights_are_randomised(trained: nn.Module, randomised: nn.Module) -> None:
    """The sanity check of Adebayo et al., NeurIPS 2018: a map that does not change shows the scan alone.

    Signs and amounts change. Sizes alone are alike (rank correlation 0.65), since both are asked about the
    same voxels and neither looks far: it is the amount, which the page states, that tells them apart.
    """
    alike = []
    for image, label in phantoms(100, 6):
        one, other = of(trained, image, label), of(randomised, image, label)
        assert np.array_equal(one.values, of(trained, image, label).values)
        assert abs(other.difference) < 0.2 * one.difference
        alike.append(spearmanr(one.values.ravel(), other.values.ravel())[0])
    assert np.mean(alike) < 0.3


def test_asked_about_the_surroundings_too_they_point_at_the_tumour(
    trained: nn.Module, randomised: nn.Module
) -> None:
    """That they are high where F is asked about proves little; so it is asked about a larger region."""
    ratios = []
    for image, label in phantoms(100, 8):
        near = binary_dilation(label, iterations=4)
        maps = [of(net, image, near).values for net in (trained, randomised)]
        ratios.append([one[label].mean() / np.abs(one[near & ~label]).mean() for one in maps])
    assert np.mean(ratios, axis=0)[0] > 2
    assert np.mean(ratios, axis=0)[1] < 1.5


def test_covering_what_it_points_at_takes_more_than_covering_as_much_elsewhere(trained: nn.Module) -> None:
    """Occlusion as another witness: the voxels ranked highest matter more than as many drawn at random."""
    rng = np.random.default_rng(2)
    for image, label in phantoms(100, 6):
        found = of(trained, image, label)
        count = int(label.sum())
        top = np.argsort(-found.values.ravel())[:count]
        elsewhere = rng.choice(np.flatnonzero(~label.ravel()), count, replace=False)
        assert lost(trained, image, label, top) > lost(trained, image, label, elsewhere)


def lost(net: nn.Module, image: np.ndarray, label: np.ndarray, voxels: np.ndarray) -> float:
    """What the finding's mean log-odds lose when `voxels` are given the median value."""
    covered = image.copy().reshape(1, -1)
    covered[:, voxels] = np.median(image)
    both = torch.from_numpy(np.stack([image, covered.reshape(image.shape)]))
    with torch.no_grad():
        logits = net(both)
    before, after = ((one[1] - one[0]).numpy()[label].mean() for one in logits)
    return float(before - after)


def test_no_finding_has_no_attribution() -> None:
    assert (
        attribution(build(STUDY), np.zeros((1, 8, 8, 8), np.float32), np.zeros((8, 8, 8), bool), STUDY)
        is None
    )


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_window_is_bounded_and_holds_the_finding_wherever_it_lies(
    dimensions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEPS", (2,))
    window = [96, 96, 1 if dimensions == 2 else 96]
    study = study_of(
        model={"channels": [4, 8], "dimensions": dimensions}, preprocessing={}, training={"window": window}
    )
    net = build(study).eval()
    image = np.random.default_rng(0).normal(size=(1, 100, 70, 6)).astype(np.float32)
    for corner in ((0, 0, 0), (96, 66, 4), (40, 30, 2)):
        finding = np.zeros(image.shape[1:], bool)
        finding[tuple(slice(start, start + 3) for start in corner)] = True
        found = of(net, image, finding, study)
        sides = [part.stop - part.start for part in found.box]
        assert sides == [MOST_SIDE, MOST_SIDE, 1 if dimensions == 2 else 6]
        outside = np.ones(finding.shape, bool)
        outside[found.box] = False
        assert not found.values[outside].any()
        assert finding[found.box].sum() == (9 if dimensions == 2 else finding.sum())
        assert found.values.shape == finding.shape
