import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.calibration import (
    is_intercept,
    logistic_shapes,
    logistic_sums,
    with_site_intercept,
    with_site_names,
)
from shared.errors import DataError, FederationError
from shared.newton import Fit, fit_newton
from shared.reliability import finish_reliability, reliability_sums
from shared.sums import FloatArray, IntArray, Sums


def fit(design: FloatArray, outcome: IntArray, *, ridge: float, max_steps: int = 25) -> Fit:
    return fit_newton(
        lambda b: logistic_sums(design, outcome, b),
        names=["intercept", *(f"x{j}" for j in range(1, design.shape[1]))],
        penalised=np.arange(design.shape[1]) > 0,
        ridge=ridge,
        max_steps=max_steps,
    )


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_derivatives_agree_with_a_loop_and_with_differences(seed: int) -> None:
    rng = np.random.default_rng(seed)
    design, outcome, b = rng.normal(size=(9, 3)), rng.integers(0, 2, 9), rng.normal(size=3)
    sums = logistic_sums(design, outcome, b)
    loss = 0.0
    for x, y in zip(design, outcome, strict=True):
        p = 1 / (1 + np.exp(-x @ b))
        loss -= np.log(p if y else 1 - p)
    assert sums["loss"] == pytest.approx(loss, abs=1e-10)
    assert {name: array.shape for name, array in sums.values.items()} == logistic_shapes(3)
    for j, nudge in enumerate(np.eye(3) * 1e-6):
        above, below = (logistic_sums(design, outcome, b + s * nudge) for s in (1, -1))
        assert sums["gradient"][j] == pytest.approx((above["loss"] - below["loss"]) / 2e-6, abs=1e-7)
        assert sums["hessian"][j] == pytest.approx((above["gradient"] - below["gradient"]) / 2e-6, abs=1e-7)


def test_extreme_scores_neither_overflow_nor_lose_their_loss() -> None:
    sums = logistic_sums(np.array([[1.0], [-1.0]]), np.array([0, 1]), np.array([1e4]))
    assert sums["loss"] == 2e4
    assert sums["gradient"].tolist() == [2.0]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.sampled_from([1e-4, 1e-3, 0.1]))
def test_with_a_ridge_every_outcome_mix_ends_at_a_stationary_point(seed: int, n: int, ridge: float) -> None:
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(n), rng.normal(scale=3, size=(n, 2))])
    outcome = rng.integers(0, 2, n)
    outcome[: min(n, 2)] = [0, 1][: min(n, 2)]
    if n == 1:
        design[:, 0] = 0  # one outcome alone has no finite intercept
    found = fit(design, outcome, ridge=ridge, max_steps=60)
    gradient = logistic_sums(design, outcome, found.coefficients)["gradient"]
    assert found.converged
    assert gradient + n * ridge * np.array([0, 1, 1]) * found.coefficients == pytest.approx(0, abs=1e-8)


def test_perfect_separation_converges_with_a_ridge_and_says_no_without() -> None:
    design = np.column_stack([np.ones(20), np.linspace(-1, 1, 20)])
    outcome = (design[:, 1] > 0).astype(np.int64)
    assert fit(design, outcome, ridge=1e-3).converged
    for max_steps in (10, 25, 100, 300):
        assert not fit(design, outcome, ridge=0.0, max_steps=max_steps).converged


def test_a_single_outcome_has_no_finite_intercept() -> None:
    design = np.column_stack([np.ones(20), np.linspace(-1, 1, 20)])
    for max_steps in (25, 100, 300):
        assert not fit(design, np.ones(20, dtype=np.int64), ridge=1e-3, max_steps=max_steps).converged


def test_steps_that_overshoot_are_halved_and_counted() -> None:
    asked: list[float] = []

    def gather(b: FloatArray) -> Sums:
        """A convex loss sqrt(1 + (b - 5)^2), on which plain Newton runs away from anywhere beyond 5 +- 1."""
        asked.append(b[0])
        u = b - 5
        root = np.sqrt(1 + u**2)
        return Sums(
            {"patients": np.array(1), "loss": root[0], "gradient": u / root, "hessian": np.diag(root**-3)}
        )

    found = fit_newton(gather, names=["x"], penalised=np.array([False]), ridge=0.0, max_steps=50)
    assert found.converged
    assert found.coefficients[0] == pytest.approx(5, abs=1e-10)
    assert asked[1:5] == pytest.approx([130, 65, 32.5, 16.25])
    assert found.steps == len(asked) - 1


def test_features_that_say_the_same_share_their_coefficient() -> None:
    rng = np.random.default_rng(3)
    x, outcome = rng.normal(size=80), rng.integers(0, 2, 80)
    once = fit(np.column_stack([np.ones(80), x]), outcome, ridge=0.0)
    twice = fit(np.column_stack([np.ones(80), x, x]), outcome, ridge=0.0)
    assert twice.converged
    assert twice.coefficients == pytest.approx(once.coefficients[[0, 1, 1]] / [1, 2, 2], abs=1e-8)


def test_the_covariance_of_an_intercept_alone_is_the_textbook_one() -> None:
    found = fit(np.ones((50, 1)), (np.arange(50) < 10).astype(np.int64), ridge=0.0)
    assert found.coefficients[0] == pytest.approx(np.log(0.2 / 0.8))
    assert found.covariance[0, 0] == pytest.approx(1 / (50 * 0.2 * 0.8))


def test_a_site_without_patients_keeps_a_zero_intercept_and_harms_nobody() -> None:
    rng = np.random.default_rng(1)
    design = np.column_stack([np.ones(60), rng.normal(size=60)])
    outcome, site = rng.integers(0, 2, 60), rng.integers(0, 2, 60)
    names = with_site_names(["intercept", "x"], ["east", "west", "empty"])
    assert names == ("intercept[east]", "intercept[west]", "intercept[empty]", "x")
    fits = [
        fit_newton(
            lambda b, s=sites: logistic_sums(with_site_intercept(design, site, s), outcome, b),  # type: ignore[misc]
            names=names[:sites] + names[-1:],
            penalised=np.array([not is_intercept(n) for n in names[:sites] + names[-1:]]),
            ridge=1e-3,
            max_steps=25,
        )
        for sites in (2, 3)
    ]
    assert all(f.converged for f in fits)
    assert fits[1].coefficients[2] == 0
    assert np.delete(fits[1].coefficients, 2) == pytest.approx(fits[0].coefficients, abs=1e-12)


def test_a_site_number_is_the_same_as_an_array_of_it() -> None:
    design = np.column_stack([np.ones(3), np.arange(3.0)])
    own = with_site_intercept(design, 1, 2)
    assert own.tolist() == [[0, 1, 0], [0, 1, 1], [0, 1, 2]]
    assert np.array_equal(own, with_site_intercept(design, np.ones(3, dtype=int), 2))
    with pytest.raises(DataError, match="site_index"):
        with_site_intercept(design, 2, 2)


def test_a_site_that_vanishes_between_steps_stops_the_fit() -> None:
    rng = np.random.default_rng(0)
    design, outcome = np.column_stack([np.ones(30), rng.normal(size=30)]), rng.integers(0, 2, 30)

    def gather(b: FloatArray) -> Sums:
        present = slice(None) if not b.any() else slice(20)
        return logistic_sums(design[present], outcome[present], b)

    with pytest.raises(FederationError, match="20 patients answered, expected 30"):
        fit_newton(gather, names=["intercept", "x"], penalised=np.array([False, True]), ridge=0, max_steps=5)


def test_unusable_input_is_refused() -> None:
    with pytest.raises(FederationError, match="no patients"):
        fit(np.ones((0, 2)), np.zeros(0, dtype=np.int64), ridge=1e-3)
    with pytest.raises(DataError, match="outcome"):
        logistic_sums(np.ones((2, 1)), np.array([0, 2]), np.zeros(1))
    with pytest.raises(DataError, match="design"):
        logistic_sums(np.ones((2, 3)), np.array([0, 1]), np.zeros(1))
    with pytest.raises(DataError, match="finite"):
        logistic_sums(np.array([[np.nan]]), np.array([0]), np.zeros(1))
    with pytest.raises(DataError, match="one shape"):
        reliability_sums(np.array([0.5]), np.array([0, 1]), bins=5)


def test_reliability_of_a_hand_computed_case() -> None:
    figures = finish_reliability(reliability_sums(np.array([0.1, 0.3, 1.0]), np.array([0, 1, 1]), bins=2))
    assert figures["n"] == 3
    assert figures["ece"] == pytest.approx((abs(0.4 - 1) + 0) / 3)
    assert figures["mce"] == pytest.approx(0.3)
    assert figures["brier"] == pytest.approx((0.01 + 0.49) / 3)
    assert figures["log_loss"] == pytest.approx(-(np.log(0.9) + np.log(0.3)) / 3)
    assert [b["n"] for b in figures["bins"]] == [2, 1]


def test_empty_bins_and_empty_sites_are_none() -> None:
    figures = finish_reliability(reliability_sums(np.zeros(0), np.zeros(0), bins=3))
    assert figures["ece"] is figures["mce"] is figures["brier"] is figures["bins"][0]["observed"] is None
    json.dumps(figures, allow_nan=False)


def test_a_certain_and_wrong_prediction_costs_a_finite_log_loss() -> None:
    figures = finish_reliability(reliability_sums(np.array([0.0]), np.array([1]), bins=3))
    assert figures["log_loss"] == pytest.approx(-np.log(1e-12))
