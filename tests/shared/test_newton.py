import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.calibration import logistic_shapes, logistic_sums, logistic_sums_many
from shared.errors import DataError, FederationError
from shared.folds import NO_FOLD
from shared.newton import fit_many, fit_newton, lockstep, newton, no_penalty
from shared.sums import FloatArray, IntArray, Sums

NAMES = ("intercept", "a", "b")
PENALISED = np.array([False, True, True])


def rows(seed: int, n: int = 90) -> tuple[FloatArray, IntArray, IntArray]:
    """Design (n, 3), outcome (n,) and fold (n,) in -1..3."""
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(n), rng.normal(size=(n, 2)) * [1, 3]])
    chance = 1 / (1 + np.exp(-(design @ [-0.5, 1.0, 0.4])))
    return design, (rng.random(n) < chance).astype(np.int64), rng.integers(-1, 4, n)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_sums_of_many_fits_are_each_the_sums_of_the_patients_that_it_may_see(seed: int) -> None:
    design, outcome, fold = rows(seed)
    b = np.random.default_rng(seed).normal(size=(5, 3))
    found = logistic_sums_many(design, outcome, b, fold=fold)
    assert {name: array.shape for name, array in found.values.items()} == logistic_shapes(3, 5)
    for j in range(5):
        sees = fold != j  # nobody is in fold 4
        alone = logistic_sums(design[sees], outcome[sees], b[j])
        for name, array in alone.values.items():
            assert found[name][j] == pytest.approx(array, abs=1e-10)


def test_a_fit_may_leave_out_the_fold_it_is_told() -> None:
    design, outcome, fold = rows(1)
    b = np.zeros((3, 3))
    found = logistic_sums_many(design, outcome, b, fold=fold, left_out=np.array([2, 0, NO_FOLD]))
    assert found["patients"].tolist() == [np.sum(fold != 2), np.sum(fold != 0), len(fold)]


def test_many_fits_are_the_fits_one_by_one_and_share_their_exchanges() -> None:
    design, outcome, fold = rows(2)
    exchanges: list[FloatArray] = []

    def gather(b: FloatArray) -> Sums:
        exchanges.append(b)
        return logistic_sums_many(design, outcome, b, fold=fold)

    together = fit_many(gather, 5, names=NAMES, penalised=PENALISED, ridge=1e-3, max_steps=25)
    for j, fit in enumerate(together):
        x, y = design[fold != j], outcome[fold != j]
        alone = fit_newton(
            lambda b, x=x, y=y: logistic_sums(x, y, b),  # type: ignore[misc]
            names=NAMES,
            penalised=PENALISED,
            ridge=1e-3,
            max_steps=25,
        )
        assert fit.converged
        assert fit.steps == alone.steps
        assert fit.coefficients == pytest.approx(alone.coefficients, abs=1e-10)
        assert fit.covariance == pytest.approx(alone.covariance, abs=1e-10)
    assert len(exchanges) == 1 + max(fit.steps for fit in together)


def test_a_fit_that_has_ended_asks_for_the_same_again() -> None:
    asked: list[FloatArray] = []

    def gather(b: FloatArray) -> Sums:
        """Two parabolas (b - 3)^2 / 2, exact after one step, and a long way down sqrt(1 + (b - 5)^2)."""
        asked.append(b)
        u = b[1] - 5
        root = np.sqrt(1 + u**2)
        return Sums(
            {
                "patients": np.array([1, 1]),
                "loss": np.array([(b[0, 0] - 3) ** 2 / 2, root[0]]),
                "gradient": np.stack([b[0] - 3, u / root]),
                "hessian": np.stack([np.eye(1), np.diag(root**-3)]),
            }
        )

    fits = [newton(["x"], penalty=no_penalty, max_steps=50) for _ in range(2)]
    quick, slow = lockstep(fits, gather)
    assert (quick.steps, quick.coefficients[0]) == (1, 3)
    assert slow.coefficients[0] == pytest.approx(5, abs=1e-10)
    assert [b[0, 0] for b in asked] == [0] + [3] * (len(asked) - 1)


def test_what_may_not_move_keeps_its_start_and_has_no_variance() -> None:
    design, outcome, _ = rows(3)
    held = newton(
        NAMES,
        penalty=no_penalty,
        max_steps=25,
        start=np.array([0, 1, 0.4]),
        active=np.array([True, False, False]),
    )
    [fit] = lockstep([held], lambda b: logistic_sums_many(design, outcome, b, fold=np.full(90, NO_FOLD)))
    assert fit.coefficients[1:].tolist() == [1, 0.4]
    assert not fit.covariance[1:].any()
    residual = outcome - 1 / (1 + np.exp(-(design @ fit.coefficients)))
    assert residual.sum() == pytest.approx(0, abs=1e-8)


def test_a_fit_that_sees_nobody_is_told() -> None:
    design, outcome, _ = rows(4)

    def gather(b: FloatArray) -> Sums:
        return logistic_sums_many(design, outcome, b, fold=np.zeros(90, np.int64))

    with pytest.raises(FederationError, match="no patients"):
        fit_many(gather, 2, names=NAMES, penalised=PENALISED, ridge=1e-3, max_steps=5)


def test_folds_of_other_rows_are_refused() -> None:
    with pytest.raises(DataError, match="fold"):
        logistic_sums_many(np.ones((2, 1)), np.array([0, 1]), np.zeros((1, 1)), fold=np.zeros(3, np.int64))
