from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from client import private_training
from client.ledger import PrivateRound
from client.private_training import (
    add_clipped,
    one_window_each,
    patient_gradient,
    train_privately,
)
from client.training import Span, Trained, loss_function
from shared.errors import ConfigError
from shared.model import build, initial_weights
from shared.study import Study
from shared.unlabelled import UNLABELLED
from tests.client.hospital import tiny_study

Patients = list[list[tuple[np.ndarray, np.ndarray]]]
CLIP = 0.5


def study_of(**changes: Any) -> Study:
    training = {"window": [8, 8, 8], "batch_size": 2, "weight_decay": 0.0}
    privacy = {"epsilon": 8.0, "delta": 1e-3, "clip": CLIP}
    return tiny_study(**{"preprocessing": {}, "training": training, "privacy": privacy, **changes})


def patients_with(*scans: int, channels: int = 1) -> Patients:
    """One patient an argument, with so many scans."""
    rng = np.random.default_rng(5)
    return [
        [
            (
                rng.normal(size=(channels, 8, 8, 8)).astype(np.float32),
                (rng.random((8, 8, 8)) < 0.2).astype(np.uint8),
            )
            for _ in range(n)
        ]
        for n in scans
    ]


def release_of(*, steps: int, rate: float, noise: float, seed: int = 7) -> PrivateRound:
    return PrivateRound(steps=steps, sample_rate=rate, noise_multiplier=noise, epsilon=1.0, seed=seed)


def run(patients: Patients, release: PrivateRound, study: Study | None = None) -> Trained:
    chosen = study or study_of()
    return train_privately(initial_weights(chosen), patients, chosen, span=Span(), release=release)


@pytest.fixture
def gradients(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The gradient of each optimiser step, as one vector."""
    seen: list[torch.Tensor] = []
    step = torch.optim.AdamW.step

    def recorded(optimiser: torch.optim.AdamW, *args: Any) -> Any:
        parameters = optimiser.param_groups[0]["params"]
        seen.append(torch.cat([p.grad.flatten().clone() for p in parameters]))
        return step(optimiser, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", recorded)
    return seen


@settings(deadline=None, max_examples=100)
@given(
    parts=st.lists(
        st.lists(st.floats(-(2.0**60), 2.0**60, width=32), min_size=1, max_size=6), min_size=1, max_size=4
    ),
    clip=st.floats(1e-3, 1e3),
)
def test_one_patient_adds_at_most_the_clip(parts: list[list[float]], clip: float) -> None:
    gradient = {str(i): torch.tensor(part) for i, part in enumerate(parts)}
    total = {name: torch.zeros_like(part) for name, part in gradient.items()}
    add_clipped(total, gradient, clip)
    norm = np.linalg.norm(np.concatenate([part.double().numpy() for part in total.values()]))
    before = np.linalg.norm(np.concatenate([part.double().numpy() for part in gradient.values()]))
    assert norm <= clip * (1 + 1e-5)
    if before <= clip:
        assert norm == pytest.approx(before, rel=1e-5, abs=1e-30)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 3e38])
def test_a_gradient_that_is_not_finite_adds_nothing(bad: float) -> None:
    total = {"a": torch.ones(3), "b": torch.ones(2)}
    add_clipped(total, {"a": torch.tensor([1.0, bad, 1.0]), "b": torch.ones(2)}, 1.0)
    assert all(torch.equal(part, torch.ones_like(part)) for part in total.values())


@pytest.mark.parametrize("truth", ["label", "points"])
def test_a_patients_gradient_is_the_mean_over_the_windows(truth: str) -> None:
    study = study_of(task={"classes": ["tumour"], "channels": ["t1", "t2"], "truth": truth})
    net, criterion = build(study), loss_function(study)
    scans = patients_with(3, channels=2)[0]
    if truth == "points":
        scans[0][1][2:] = scans[1][1][:] = UNLABELLED  # one scan with few points, one with none
    image, label = one_window_each(scans, study, np.random.default_rng(0))
    assert (image.shape, label.shape) == ((3, 2, 8, 8, 8), (3, 1, 8, 8, 8))
    found, loss = patient_gradient(net, criterion, image, label)
    alone = [patient_gradient(net, criterion, image[i : i + 1], label[i : i + 1]) for i in range(3)]
    for name, gradient in found.items():
        mean = torch.stack([g[name] for g, _ in alone]).mean(dim=0)
        torch.testing.assert_close(gradient, mean, rtol=1e-4, atol=1e-6)
    assert loss == pytest.approx(np.mean([one for _, one in alone]), rel=1e-5)


def test_a_patient_without_any_labelled_voxel_adds_nothing(gradients: list[torch.Tensor]) -> None:
    study = study_of(task={"classes": ["tumour"], "truth": "points"})
    image, label = patients_with(1)[0][0]
    patients = [[(image[:, 2:], np.full_like(label[2:], UNLABELLED))]]  # smaller than the window
    found = run(patients, release_of(steps=2, rate=1.0, noise=0.0), study)
    assert found.loss == 0.0
    assert [float(g.abs().max()) for g in gradients] == [0, 0]


def test_a_patient_with_three_scans_counts_once(gradients: list[torch.Tensor]) -> None:
    run(patients_with(3), release_of(steps=1, rate=1.0, noise=0.0))
    run(patients_with(1, 1, 1), release_of(steps=1, rate=1.0, noise=0.0))
    together, apart = gradients
    assert float(together.norm()) <= CLIP * (1 + 1e-5)  # one patient, divided by one
    assert float(apart.norm()) <= CLIP * (1 + 1e-5)  # three patients, divided by three


def test_a_step_is_the_sum_of_clipped_gradients_over_the_expected_number(
    gradients: list[torch.Tensor],
) -> None:
    study, patients = study_of(), patients_with(1, 2, 1)
    release = release_of(steps=1, rate=0.6, noise=0.0, seed=8)
    run(patients, release)
    rng = release.generator()
    net = build(study)
    net.load_state_dict({n: torch.from_numpy(w) for n, w in initial_weights(study).items()})
    total = torch.zeros(())
    drawn = [i for i, u in enumerate(rng.random(3)) if u < 0.6]
    assert drawn
    for i in drawn:
        net.zero_grad()
        image, label = one_window_each(patients[i], study, rng)
        loss_function(study)(net(image), label).backward()
        gradient = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
        total = total + gradient * min(1.0, CLIP / float(gradient.norm()))
    torch.testing.assert_close(gradients[0], total / (0.6 * 3), rtol=1e-4, atol=1e-6)


def no_gradient(net: nn.Module, *_: object) -> tuple[dict[str, torch.Tensor], float]:
    return {name: torch.zeros_like(p) for name, p in net.named_parameters()}, 0.0


def test_the_noise_has_the_stated_standard_deviation(
    gradients: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_training, "patient_gradient", no_gradient)
    run(patients_with(*[1] * 8), release_of(steps=12, rate=0.5, noise=1.7))
    values = torch.stack(gradients).numpy().astype(np.float64)
    expected = 1.7 * CLIP / (0.5 * 8)
    assert values.std() == pytest.approx(expected, rel=5 / np.sqrt(2 * values.size))
    assert abs(values.mean()) < 5 * expected / np.sqrt(values.size)
    assert np.abs(np.corrcoef(values)[0, 1]) < 5 / np.sqrt(values.shape[1])  # fresh in every step


def test_patients_take_part_by_independent_coins(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def counted(net: nn.Module, *_: object) -> tuple[dict[str, torch.Tensor], float]:
        drawn[-1] += 1
        return no_gradient(net)

    step = torch.optim.AdamW.step

    def next_step(optimiser: torch.optim.AdamW, *args: Any) -> Any:
        drawn.append(0)
        return step(optimiser, *args)

    monkeypatch.setattr(private_training, "patient_gradient", counted)
    monkeypatch.setattr(torch.optim.AdamW, "step", next_step)
    n, rate, steps = 10, 0.3, 120
    drawn.append(0)
    run(patients_with(*[1] * n), release_of(steps=steps, rate=rate, noise=1.0))
    counts = np.array(drawn[:steps])
    assert abs(counts.mean() - rate * n) < 5 * np.sqrt(n * rate * (1 - rate) / steps)
    assert counts.var() == pytest.approx(n * rate * (1 - rate), rel=0.6)


def test_an_empty_draw_still_steps_with_noise(gradients: list[torch.Tensor]) -> None:
    found = run(patients_with(1), release_of(steps=3, rate=1e-9, noise=1.0))
    assert len(gradients) == 3
    assert all(float(g.abs().min()) > 0 for g in gradients)
    assert found.loss == 0.0


def test_the_same_release_gives_the_same_weights_and_another_seed_others() -> None:
    patients = patients_with(1, 1, 1)
    first, again, other = (
        run(patients, release_of(steps=2, rate=0.5, noise=1.0, seed=seed)).weights for seed in (7, 7, 8)
    )
    assert all(np.array_equal(first[n], again[n]) for n in first)
    assert any(not np.array_equal(first[n], other[n]) for n in first)


def test_a_study_without_privacy_cannot_train_privately() -> None:
    with pytest.raises(ConfigError, match="privacy section"):
        run(patients_with(1), release_of(steps=1, rate=1.0, noise=1.0), study_of(privacy=None))
