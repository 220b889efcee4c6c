import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from shared.calibration import logistic_sums_many
from shared.folds import NO_FOLD
from shared.miscalibration import FITS, Miscalibration, finish, large_and_slope, miscalibration
from shared.newton import lockstep
from shared.recalibration import design, map_sums
from shared.sums import FloatArray, IntArray, Sums


def scored(seed: int, n: int) -> tuple[FloatArray, IntArray]:
    """Log-odds (n,) of which the truth is -0.4 + 0.6 s, and outcomes."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(0.3, 2, n)
    return raw, (rng.random(n) < 1 / (1 + np.exp(0.4 - 0.6 * raw))).astype(np.int64)


def judged(log_odds: FloatArray, outcome: IntArray) -> Miscalibration:
    nobody = np.full(len(outcome), NO_FOLD)
    return miscalibration(lambda b: map_sums(log_odds, outcome, b, fold=nobody, fits=2))


def test_calibration_in_the_large_and_slope_are_those_of_two_pooled_fits() -> None:
    raw, outcome = scored(11, 600)
    found = judged(raw, outcome)
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-13).fit(raw[:, None], outcome)
    free = np.append(model.intercept_, model.coef_)

    def offset(a: FloatArray) -> float:
        return float(np.sum(np.logaddexp(0, -(2 * outcome - 1) * (raw + a[0]))))

    assert found.in_the_large == pytest.approx(minimize(offset, [0.0], tol=1e-12).x[0], abs=1e-5)
    assert found.in_the_large is not None
    p = 1 / (1 + np.exp(-(raw + found.in_the_large)))
    assert np.sum(outcome - p) == pytest.approx(0, abs=1e-8)
    assert found.in_the_large_error == pytest.approx(np.sum(p * (1 - p)) ** -0.5, abs=1e-9)
    assert found.slope == pytest.approx(free[1], abs=1e-8)
    x = np.column_stack([np.ones_like(raw), raw])
    q = 1 / (1 + np.exp(-(x @ free)))
    assert found.slope_error == pytest.approx(np.linalg.inv((x.T * q * (1 - q)) @ x)[1, 1] ** 0.5, abs=1e-8)


def test_outcomes_all_alike_have_no_estimate() -> None:
    raw, _ = scored(1, 40)
    assert judged(raw, np.ones(40, np.int64)) == Miscalibration(None, None, None, None)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_grouping_rows_into_other_sites_changes_nothing(seed: int, sites: int) -> None:
    raw, outcome = scored(seed, 200)
    site, nobody = np.random.default_rng(seed).integers(0, sites, 200), np.full(200, NO_FOLD)

    def gather(b: FloatArray) -> Sums:
        own = (site == s for s in range(sites))
        return Sums.total(map_sums(raw[r], outcome[r], b, fold=nobody[r], fits=FITS) for r in own)

    one, other = miscalibration(gather), judged(raw, outcome)
    assert list(vars(one).values()) == pytest.approx(list(vars(other).values()), abs=1e-8)


def test_all_sites_are_judged_in_the_same_exchanges() -> None:
    sites = [scored(seed, 100 + 50 * seed) for seed in range(3)]

    def gather(b: FloatArray) -> Sums:
        """Each site answers its own two rows of (6, 4)."""
        answers = [
            logistic_sums_many(design(raw), y, b[2 * s : 2 * s + 2], fold=np.full(len(raw), NO_FOLD))
            for s, (raw, y) in enumerate(sites)
        ]
        return Sums({name: np.concatenate([a[name] for a in answers]) for name in answers[0].values})

    fits = lockstep([fit for _ in sites for fit in large_and_slope()], gather)
    for s, (raw, outcome) in enumerate(sites):
        found, alone = finish(fits[2 * s], fits[2 * s + 1]), judged(raw, outcome)
        assert list(vars(found).values()) == pytest.approx(list(vars(alone).values()), abs=1e-9)
