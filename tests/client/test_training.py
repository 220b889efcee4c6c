import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from client import training
from client.training import Span, Trained, add_proximal_gradient, loss_function, one_cycle
from shared.model import digest, initial_weights
from shared.study import Study
from shared.unlabelled import UNLABELLED
from tests.client.hospital import tiny_study

Cases = list[tuple[np.ndarray, np.ndarray]]


def bright_boxes(count: int, *, side: int = 8) -> Cases:
    """Noise with a bright box whose place differs from case to case."""
    cases = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        image = rng.normal(0, 0.2, (1, side, side, side)).astype(np.float32)
        label = np.zeros((side, side, side), np.uint8)
        x, y, z = rng.integers(0, side - 4, 3)
        label[x : x + 4, y : y + 4, z : z + 4] = 1
        image[0][label > 0] += 2
        cases.append((image, label))
    return cases


def small(**changes: Any) -> Study:
    window = {"window": [8, 8, 8], "batch_size": 2, "learning_rate": 0.01}
    values = {"preprocessing": {}, "training": {**window, **changes.pop("training", {})}, **changes}
    return tiny_study(**values)


ON_POINTS = small(task={"classes": ["tumour"], "truth": "points"})


def trained(
    study: Study, cases: Cases, *, epochs: int = 1, seed: int = 0, span: Span | None = None
) -> Trained:
    rng = np.random.default_rng(seed)
    return training.train(initial_weights(study), cases, study, epochs=epochs, span=span or Span(), rng=rng)


@settings(deadline=None, max_examples=30)
@given(steps=st.integers(10, 300), peak=st.floats(1e-5, 1))
def test_one_cycle_is_pytorchs_one_cycle_at_every_step(steps: int, peak: float) -> None:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the optimiser itself never steps
        oracle = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=peak, total_steps=steps)
        top = (
            0.3 * steps - 1
        )  # PyTorch counts the steps of the first phase from 0, those of the second from 1
        for step in range(steps):
            progress = 0.3 * step / top if step <= top else (step + 1) / steps
            assert one_cycle(progress, peak) == pytest.approx(oracle.get_last_lr()[0], rel=1e-9, abs=1e-12)
            if step < steps - 1:
                oracle.step()


@given(rounds=st.integers(1, 200))
def test_the_rounds_tile_the_run_without_gap_or_overlap(rounds: int) -> None:
    spans = [Span.of_round(number, rounds) for number in range(1, rounds + 1)]
    assert (spans[0].start, spans[-1].end) == (0.0, 1.0)
    assert all(before.end == after.start for before, after in pairwise(spans))
    assert all(span.start < span.end for span in spans)


def test_learning_rates_of_two_rounds_continue_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def recorded(progress: float, peak: float) -> float:
        seen.append(progress)
        return one_cycle(progress, peak)

    monkeypatch.setattr(training, "one_cycle", recorded)
    cases = bright_boxes(4)
    for number in (1, 2):
        trained(small(), cases, span=Span.of_round(number, 2))
    two_rounds, seen[:] = list(seen), []
    trained(small(), cases, epochs=2)
    assert two_rounds == seen == [0, 0.25, 0.5, 0.75]


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), mu=st.floats(1e-3, 10))
def test_the_proximal_gradient_is_that_of_autograd(seed: int, mu: float) -> None:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 4), nn.PReLU(), nn.Linear(4, 2))
    reference = [torch.randn_like(p) for p in net.parameters()]
    x = torch.randn(5, 3)
    net(x).square().mean().backward()
    add_proximal_gradient(net, reference, mu)
    found = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    net.zero_grad()
    distance = sum(
        ((p - r).square().sum() for p, r in zip(net.parameters(), reference, strict=True)), torch.zeros(())
    )
    (net(x).square().mean() + mu / 2 * distance).backward()
    for mine, parameter in zip(found, net.parameters(), strict=True):
        torch.testing.assert_close(mine, parameter.grad)


def test_the_proximal_term_acts_in_every_step_but_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    study = small(strategy={"name": "fedprox", "proximal_mu": 0.5})
    start = list(initial_weights(study).values())
    norms: list[float] = []

    def recorded(net: nn.Module, reference: Sequence[torch.Tensor], mu: float) -> None:
        before = [p.grad.clone() for p in net.parameters() if p.grad is not None]
        now = [p.detach().clone() for p in net.parameters()]
        add_proximal_gradient(net, reference, mu)
        added = [p.grad - b for p, b in zip(net.parameters(), before, strict=True) if p.grad is not None]
        for term, weight, origin in zip(added, now, start, strict=True):
            torch.testing.assert_close(term, mu * (weight - torch.from_numpy(origin)), rtol=1e-3, atol=1e-6)
        norms.append(float(sum(term.square().sum() for term in added)))

    monkeypatch.setattr(training, "add_proximal_gradient", recorded)
    trained(study, bright_boxes(6))
    assert len(norms) == 3
    assert norms[0] == 0
    assert min(norms[1:]) > 0


def test_a_strong_proximal_term_keeps_the_model_near_the_rounds_start() -> None:
    cases = bright_boxes(8)

    def moved(mu: float) -> float:
        study = small(strategy={"name": "fedprox", "proximal_mu": mu})
        found, start = trained(study, cases, epochs=3).weights, initial_weights(study)
        return float(sum(np.sum((found[n] - start[n]) ** 2) for n in start))

    assert moved(100.0) < 0.5 * moved(0.0)


def test_training_is_deterministic_in_its_arguments() -> None:
    cases = bright_boxes(5)
    first, again = trained(small(), cases), trained(small(), cases)
    assert digest(first.weights) == digest(again.weights)
    assert first.loss == again.loss
    assert digest(trained(small(), cases, seed=1).weights) != digest(first.weights)


def test_training_leaves_the_received_weights_as_they_were() -> None:
    study = small()
    start = initial_weights(study)
    before = digest(start)
    training.train(start, bright_boxes(2), study, epochs=1, span=Span(), rng=np.random.default_rng(0))
    assert digest(start) == before


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_loss_falls_on_a_task_that_can_be_learnt(dimensions: int) -> None:
    window = [8, 8, 8] if dimensions == 3 else [8, 8, 1]
    study = small(model={"channels": [4, 8], "dimensions": dimensions}, training={"window": window})
    cases = bright_boxes(8)
    long = trained(study, cases, epochs=12)
    assert long.loss < trained(study, cases, epochs=1).loss - 0.3
    assert {w.dtype for w in long.weights.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("truth", ["label", "points"])
def test_the_loss_of_a_batch_is_the_mean_of_its_patients_losses(truth: str) -> None:
    torch.manual_seed(0)
    criterion = loss_function(small(task={"classes": ["tumour"], "truth": truth}))
    logits, label = torch.randn(3, 2, 4, 4, 4), torch.randint(0, 2, (3, 1, 4, 4, 4))
    if truth == "points":
        label[0, 0, 1:] = label[1, 0, :, 2:] = UNLABELLED  # unequal numbers of labelled voxels
    alone = [criterion(logits[i : i + 1], label[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(criterion(logits, label), torch.stack(alone).mean())


def losses_by_hand(logits: np.ndarray, label: np.ndarray) -> list[float]:
    """Dice + cross entropy of each volume, voxel by voxel, over those that are labelled."""
    found = []
    for volume, marks in zip(logits.astype(np.float64), label[:, 0], strict=True):
        voxels = [v for v in np.ndindex(marks.shape) if marks[v] != UNLABELLED]
        odds = [np.exp(volume[(slice(None), *v)]) for v in voxels]
        rows = [one / one.sum() for one in odds]
        surprise = -sum(np.log(p[marks[v]]) for p, v in zip(rows, voxels, strict=True)) / max(1, len(voxels))
        dice = []
        for c in range(len(volume)):
            both = sum(p[c] for p, v in zip(rows, voxels, strict=True) if marks[v] == c)
            either = sum(p[c] for p in rows) + sum(marks[v] == c for v in voxels)
            dice.append(1 - (2 * both + 1e-5) / (either + 1e-5))
        found.append(float(np.mean(dice) + surprise))
    return found


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    shares=st.lists(st.sampled_from([0.0, 0.05, 0.5, 1.0]), min_size=1, max_size=3),
)
def test_the_loss_on_points_is_that_of_a_loop_over_labelled_voxels(seed: int, shares: list[float]) -> None:
    rng = np.random.default_rng(seed)
    shape = (len(shares), 1, 3, 4, 2)
    keep = rng.random(shape) < np.reshape(shares, (-1, 1, 1, 1, 1))
    label = np.where(keep, rng.integers(0, 3, shape), UNLABELLED).astype(np.uint8)
    logits = rng.normal(0, 2, (len(shares), 3, 3, 4, 2)).astype(np.float32)
    found = loss_function(ON_POINTS)(torch.from_numpy(logits), torch.from_numpy(label))
    assert float(found) == pytest.approx(np.mean(losses_by_hand(logits, label)), rel=1e-4, abs=1e-5)


def test_where_every_voxel_is_labelled_both_losses_are_the_same() -> None:
    torch.manual_seed(0)
    logits, label = torch.randn(3, 2, 4, 4, 4), torch.randint(0, 2, (3, 1, 4, 4, 4))
    torch.testing.assert_close(loss_function(ON_POINTS)(logits, label), loss_function(small())(logits, label))


@pytest.mark.parametrize("labelled", [False, True])
def test_unlabelled_voxels_pull_at_nothing(labelled: bool) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 2, 4, 4, 4, requires_grad=True)
    label = torch.full((2, 1, 4, 4, 4), UNLABELLED, dtype=torch.uint8)
    if labelled:
        label[0, 0, 1, 2, 3] = 1
    loss = loss_function(ON_POINTS)(logits, label)
    loss.backward()
    assert logits.grad is not None
    pulled = logits.grad.abs().sum(dim=1).nonzero().tolist()
    assert pulled == ([[0, 1, 2, 3]] if labelled else [])
    assert labelled or loss.item() == 0


def test_training_on_cases_without_a_point_learns_nothing_and_breaks_nothing() -> None:
    image, label = bright_boxes(1, side=6)[0]  # smaller than the window: nobody has judged the rest of it
    nothing = (image, np.full_like(label, UNLABELLED))
    alone = trained(ON_POINTS, [nothing] * 2)
    assert alone.loss == 0
    assert all(np.isfinite(w).all() for w in alone.weights.values())
