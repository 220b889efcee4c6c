import numpy as np
import pytest
from scipy.optimize import minimize

from shared.calibration import logistic_sums, logistic_sums_many
from shared.errors import DataError
from shared.folds import NO_FOLD
from shared.newton import Fit
from shared.shrinkage import (
    DEVIATION,
    between_sites,
    fit_shrunk,
    intercept_at,
    is_deviation,
    with_deviation_names,
    with_deviations,
)
from shared.sums import FloatArray, IntArray, Sums

SIZES = (400, 200, 100, 60, 40, 25, 12, 0)
SITES = tuple(f"s{i}" for i in range(len(SIZES)))
NAMES = with_deviation_names(("intercept", "x"), SITES)
RIDGE = 1e-3
Rows = tuple[FloatArray, IntArray, IntArray]


def hospitals(seed: int, *, tau: float, sizes: tuple[int, ...] = SIZES) -> Rows:
    """Design (n, 2), outcome (n,) and site (n,); site s has intercept -1 + tau * normal."""
    rng = np.random.default_rng(seed)
    site = np.repeat(np.arange(len(sizes)), sizes)
    x = rng.normal(size=len(site))
    log_odds = -1 + (tau * rng.normal(size=len(sizes)))[site] + 0.8 * x
    outcome = rng.random(len(site)) < 1 / (1 + np.exp(-log_odds))
    return np.column_stack([np.ones_like(x), x]), outcome.astype(np.int64), site


def federated(rows: Rows, *, sites: int = len(SIZES), max_steps: int = 60) -> Fit:
    design, outcome, site = rows

    def gather(b: FloatArray) -> Sums:
        return Sums.total(
            logistic_sums_many(
                with_deviations(design[site == s], s, sites),
                outcome[site == s],
                b,
                fold=np.full(np.sum(site == s), NO_FOLD),
            )
            for s in range(sites)
        )

    names = with_deviation_names(("intercept", "x"), SITES[:sites])
    [fit] = fit_shrunk(gather, 1, names=names, ridge=RIDGE, max_steps=max_steps)
    return fit


def slow_em(rows: Rows, *, steps: int, start: float) -> tuple[FloatArray, float]:
    """PQL in the paper's words, on pooled rows: a full fit, then tau^2 <- mean(u^2 + var u), and again."""
    design, outcome, site = rows
    x = with_deviations(design, site, len(SIZES))
    deviates = np.array([is_deviation(name) for name in NAMES])
    ridge = len(outcome) * RIDGE * np.array([name == "x" for name in NAMES])
    b, variance = np.zeros(len(NAMES)), start
    for _ in range(steps):
        weights = ridge + deviates / variance

        def objective(b: FloatArray, weights: FloatArray = weights) -> tuple[float, FloatArray]:
            sums = logistic_sums(x, outcome, b)
            return float(sums["loss"] + weights @ b**2 / 2), sums["gradient"] + weights * b

        def curvature(b: FloatArray, weights: FloatArray = weights) -> FloatArray:
            return np.asarray(logistic_sums(x, outcome, b)["hessian"] + np.diag(weights))

        b = minimize(objective, b, jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-11}).x
        spread = np.diag(np.linalg.inv(curvature(b)))
        variance = float(np.mean(b[deviates] ** 2 + spread[deviates]))
    return b, variance


@pytest.mark.parametrize("seed", [0, 3])
def test_the_fit_stands_where_em_on_pooled_rows_comes_to_stand(seed: int) -> None:
    rows = hospitals(seed, tau=1.0)
    found = federated(rows)
    assert found.converged
    variance = between_sites(found)
    assert 0.1 < variance < 10
    # An empty site slows EM down (its u^2 + var u is tau^2 itself) without moving where it stands.
    b, stays = slow_em(rows, steps=1, start=variance)
    assert stays == pytest.approx(variance, rel=1e-7)
    assert found.coefficients == pytest.approx(b, abs=1e-7)
    _, nearer = slow_em(rows, steps=40, start=2 * variance)
    assert abs(nearer - variance) < 0.05 * variance


def test_grouping_the_same_rows_in_one_exchange_or_eight_gives_the_same_fit() -> None:
    rows = hospitals(1, tau=0.7)
    design, outcome, site = rows
    pooled = with_deviations(design, site, len(SIZES))
    nobody = np.full(len(site), NO_FOLD)
    [whole] = fit_shrunk(
        lambda b: logistic_sums_many(pooled, outcome, b, fold=nobody),
        1,
        names=NAMES,
        ridge=RIDGE,
        max_steps=60,
    )
    found = federated(rows)
    assert found.coefficients == pytest.approx(whole.coefficients, abs=1e-8)
    assert between_sites(found) == pytest.approx(between_sites(whole), abs=1e-8)


def test_small_sites_shrink_more_and_an_empty_one_stays_at_zero() -> None:
    design, outcome, site = hospitals(2, tau=1.5, sizes=(600, 600, 600, 10, 0))
    # The small site is an excerpt of the first: the same share of urgent patients, seen on few of them.
    large = np.flatnonzero(site == 0)
    share = outcome[large].mean()
    positives = round(10 * share)
    small = np.concatenate(
        [large[outcome[large] == 1][:positives], large[outcome[large] == 0][: 10 - positives]]
    )
    design[site == 3], outcome[site == 3] = design[small], outcome[small]
    found = federated((design, outcome, site), sites=5)
    u = dict(zip(found.names, found.coefficients, strict=True))
    assert abs(u[f"{DEVIATION}[s3]"]) < 0.8 * abs(u[f"{DEVIATION}[s0]"])
    assert u[f"{DEVIATION}[s4]"] == pytest.approx(0, abs=1e-12)
    variances = np.diag(found.covariance)
    assert variances[5] == pytest.approx(between_sites(found), rel=1e-9)
    assert intercept_at(found, "s4") == pytest.approx(intercept_at(found, "never seen"), abs=1e-12)
    assert intercept_at(found, None) == u["intercept"]
    assert intercept_at(found, "s0") == u["intercept"] + u[f"{DEVIATION}[s0]"]


def test_sites_that_are_alike_get_the_common_intercept() -> None:
    rng = np.random.default_rng(8)
    site = np.repeat(np.arange(4), 100)
    x = np.tile(rng.normal(size=100), 4)
    outcome = np.tile((rng.random(100) < 0.3).astype(np.int64), 4)
    found = federated((np.column_stack([np.ones(400), x]), outcome, site), sites=4)
    assert found.converged
    assert between_sites(found) == 0
    assert found.coefficients[1:5] == pytest.approx(0, abs=1e-8)


def test_the_variance_between_many_sites_is_found_again() -> None:
    rng = np.random.default_rng(4)
    estimates = []
    for seed in rng.integers(0, 2**31, 6):
        rows = hospitals(int(seed), tau=1.0, sizes=(150,) * 8)
        estimates.append(between_sites(federated(rows)))
    assert 0.6 < np.mean(estimates) < 1.6


def test_leaving_a_fold_out_is_a_fit_of_its_own() -> None:
    design, outcome, site = hospitals(5, tau=1.0)
    fold = np.random.default_rng(5).integers(0, 2, len(site))
    x = with_deviations(design, site, len(SIZES))
    fits = fit_shrunk(
        lambda b: logistic_sums_many(x, outcome, b, fold=fold), 3, names=NAMES, ridge=RIDGE, max_steps=60
    )
    for j, fit in enumerate(fits):
        alone = federated((design[fold != j], outcome[fold != j], site[fold != j]))
        assert fit.coefficients == pytest.approx(alone.coefficients, abs=1e-8)


def test_names_and_columns() -> None:
    assert NAMES[:3] == ("intercept", "deviation[s0]", "deviation[s1]")
    assert NAMES[-1] == "x"
    rows = with_deviations(np.array([[1.0, 5.0]]), 1, 2)
    assert rows.tolist() == [[1, 0, 1, 5]]
    with pytest.raises(DataError, match="site_index"):
        with_deviations(np.ones((1, 2)), 2, 2)


def test_one_site_alone_has_nothing_to_deviate_from() -> None:
    found = federated(hospitals(1, tau=1.0, sizes=(50,)), sites=1)
    assert found.converged
    assert between_sites(found) == 0
    assert found.coefficients[1] == pytest.approx(0, abs=1e-8)


def test_a_site_with_urgent_patients_only_has_a_finite_deviation() -> None:
    design, outcome, site = hospitals(6, tau=0.5, sizes=(80, 80, 15))
    outcome[site == 2] = 1
    found = federated((design, outcome, site), sites=3)
    assert found.converged
    assert 0 < found.coefficients[3] < 5


def test_outcomes_all_alike_have_no_finite_fit() -> None:
    design, outcome, site = hospitals(1, tau=1.0, sizes=(30, 30))
    assert not federated((design, 0 * outcome, site), sites=2).converged
