"""The running sum is exact and without order; the step is the paper's."""

import math
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.aggregation import RunningSum, Step
from server.checkpoint import Checkpoint, load_newest
from shared.errors import CheckpointError, NothingTrainedError
from shared.study import Strategy

SHAPES = {"a": (2, 3), "b": (4,), "scalar": ()}
WEIGHTS = {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}
Update = tuple[dict[str, np.ndarray], int]


def draw(seed: int, sites: int, scale: float = 1.0) -> list[Update]:
    rng = np.random.default_rng(seed)
    return [
        (
            {n: np.asarray(rng.normal(0, scale, shape), np.float32) for n, shape in SHAPES.items()},
            int(rng.integers(1, 1000)),
        )
        for _ in range(sites)
    ]


def total(updates: list[Update]) -> RunningSum:
    found = RunningSum(WEIGHTS)
    for delta, patients in updates:
        assert found.add(delta, patients)
    return found


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from([1e-6, 1.0, 1e3]), st.randoms())
def test_the_sum_is_bit_identical_in_any_order(seed: int, sites: int, scale: float, order: Random) -> None:
    updates = draw(seed, sites, scale)
    shuffled = list(updates)
    order.shuffle(shuffled)
    here, there = total(updates).mean(), total(shuffled).mean()
    assert all(np.array_equal(here[name], there[name]) for name in SHAPES)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from([1e-6, 1.0, 1e3]))
def test_the_mean_is_the_float64_mean_weighted_by_patients(seed: int, sites: int, scale: float) -> None:
    updates = draw(seed, sites, scale)
    found = total(updates).mean()
    patients = [p for _, p in updates]
    for name in SHAPES:
        oracle = np.average([d[name].astype(np.float64) for d, _ in updates], axis=0, weights=patients)
        assert found[name] == pytest.approx(oracle, abs=1e-9, rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 20))
def test_a_site_split_in_two_leaves_the_mean_as_it_is_to_the_bit(seed: int, one: int, other: int) -> None:
    # Sums of the same change over two groups of patients: exact where the change is a multiple of 2^-32.
    (delta, _), *rest = draw(seed, 3)
    exact = {name: (np.rint(a * 2.0**16) / 2.0**16).astype(np.float32) for name, a in delta.items()}
    whole, split = total([(exact, one + other), *rest]), total([(exact, one), *rest, (exact, other)])
    assert whole.patients == split.patients
    assert all(np.array_equal(whole.mean()[name], split.mean()[name]) for name in SHAPES)


@pytest.mark.parametrize("value", [3e9, np.inf, np.nan], ids=["too large", "infinite", "not a number"])
def test_what_would_overflow_is_refused_and_adds_nothing(value: float) -> None:
    found = total(draw(1, 3))
    before, patients = found.mean(), found.patients
    assert not found.add({**draw(2, 1)[0][0], "b": np.array([0, 0, 0, value])}, 1)
    assert found.patients == patients
    assert all(np.array_equal(found.mean()[name], before[name]) for name in SHAPES)


def test_many_large_updates_are_refused_before_the_sum_wraps_round() -> None:
    found, large = RunningSum(WEIGHTS), {n: np.full(s, 2.0**27, np.float32) for n, s in SHAPES.items()}
    accepted = sum(found.add(large, 1) for _ in range(40))
    assert 1 <= accepted < 2**31 / 2**27
    assert found.mean()["a"] == pytest.approx(2.0**27)


def test_the_mean_of_nothing_is_an_error() -> None:
    with pytest.raises(NothingTrainedError, match="nothing to average"):
        RunningSum(WEIGHTS).mean()


@pytest.mark.parametrize("name", ["fedavg", "fedprox"])
def test_with_one_site_the_next_model_is_that_sites(name: str) -> None:
    start, local = (draw(seed, 1, 0.1)[0][0] for seed in (1, 2))
    delta = {n: local[n] - start[n] for n in SHAPES}
    step = Step(Strategy.model_validate({"name": name}))
    found = step.apply(start, total([(delta, 17)]).mean())
    for n in SHAPES:
        assert found[n].dtype == np.float32
        assert found[n] == pytest.approx(local[n], abs=1e-8, rel=1e-6)
    assert step.state == {}


FEDADAM = Strategy(name="fedadam", server_learning_rate=0.03, beta_1=0.8, beta_2=0.95, tau=1e-2)


def adam_by_hand(changes: list[float], start: float, s: Strategy) -> list[float]:
    """Reddi et al., arXiv 2003.00295, Algorithm 2 (FedAdam), one weight at a time."""
    m, v, x, found = 0.0, s.tau**2, start, []
    for change in changes:
        m = s.beta_1 * m + (1 - s.beta_1) * change
        v = s.beta_2 * v + (1 - s.beta_2) * change * change
        x = float(np.float32(x + s.server_learning_rate * m / (math.sqrt(v) + s.tau)))
        found.append(x)
    return found


@pytest.mark.parametrize("killed_after", [None, 2])
def test_fedadam_is_the_papers_also_after_a_kill(killed_after: int | None, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    changes = rng.normal(0, 0.1, 6)
    step, weights = Step(FEDADAM), {"w": np.array([0.3], np.float32)}
    found = []
    for number, change in enumerate(changes, start=1):
        weights = step.apply(weights, {"w": np.array([change])})
        found.append(float(weights["w"][0]))
        if number == killed_after:
            Checkpoint(number, weights, step.state, {"study_digest": "d"}).save(tmp_path)
            loaded = load_newest(tmp_path, study_digest="d")
            assert loaded is not None
            step, weights = Step(FEDADAM, loaded.state), loaded.weights
    assert found == adam_by_hand(list(changes), float(np.float32(0.3)), FEDADAM)


def test_moments_of_another_model_are_refused() -> None:
    step = Step(FEDADAM, {"m/w": np.zeros(3), "v/w": np.zeros(3)})
    with pytest.raises(CheckpointError, match=r"shape \(3,\), expected \(2,\)"):
        step.apply({"w": np.zeros(2, np.float32)}, {"w": np.zeros(2)})
