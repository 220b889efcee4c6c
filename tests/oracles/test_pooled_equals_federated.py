"""What the federation computes from sums, against what others compute from the pooled rows."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score

from shared.calibration import (
    is_intercept,
    logistic_sums,
    with_site_intercept,
    with_site_names,
)
from shared.metrics import ScanResult, finish_segmentation, segmentation_sums
from shared.newton import Fit, fit_newton
from shared.points import Points
from shared.reliability import brier_decomposition, finish_reliability, reliability_sums
from shared.sums import FloatArray, IntArray, Sums

NAMES = ("intercept", "a", "b", "c")
Rows = tuple[FloatArray, IntArray, IntArray]


def hospitals(seed: int, patients: int = 400, sites: int = 4) -> Rows:
    """Design (n, 4), outcome (n,) and site (n,) of unequal hospitals that differ in what they see."""
    rng = np.random.default_rng(seed)
    site = rng.choice(sites, patients, p=np.arange(1, sites + 1) / (sites * (sites + 1) / 2))
    x = rng.normal(size=(patients, 3)) + 0.7 * site[:, None]
    truth = 1 / (1 + np.exp(-(-2 + x @ [1.2, -0.8, 0.5])))
    return np.column_stack([np.ones(patients), x]), (rng.random(patients) < truth).astype(np.int64), site


def federated(rows: Rows, *, ridge: float, names: tuple[str, ...] = NAMES, sites: int = 4) -> Fit:
    design, outcome, site = rows

    def gather(b: FloatArray) -> Sums:
        return Sums.total(logistic_sums(design[site == s], outcome[site == s], b) for s in range(sites))

    penalised = np.array([not is_intercept(name) for name in names])
    return fit_newton(gather, names=names, penalised=penalised, ridge=ridge, max_steps=25)


@pytest.mark.parametrize("ridge", [1e-3, 0.05])
@pytest.mark.parametrize("seed", range(4))
def test_the_federated_fit_is_the_fit_of_scikit_learn_on_pooled_rows(seed: int, ridge: float) -> None:
    rows = hospitals(seed)
    found = federated(rows, ridge=ridge)
    pooled = LogisticRegression(
        C=1 / (len(rows[1]) * ridge), solver="newton-cholesky", tol=1e-12, max_iter=100
    )
    pooled.fit(rows[0][:, 1:], rows[1])
    assert found.converged
    assert found.coefficients == pytest.approx(np.append(pooled.intercept_, pooled.coef_), abs=1e-8)


def test_with_site_intercepts_the_federated_fit_is_the_pooled_optimum() -> None:
    design, outcome, site = hospitals(7)
    own = with_site_intercept(design, site, 4)
    names = with_site_names(NAMES, ("n", "e", "s", "w"))
    found = federated((own, outcome, site), ridge=1e-3, names=names)
    penalty = len(outcome) * 1e-3 * np.array([0, 0, 0, 0, 1, 1, 1])

    def objective(b: FloatArray) -> tuple[float, FloatArray]:
        z = own @ b
        p = 1 / (1 + np.exp(-z))
        loss = float(np.sum(np.log1p(np.exp(z)) - outcome * z) + penalty @ b**2 / 2)
        return loss, own.T @ (p - outcome) + penalty * b

    def curvature(b: FloatArray) -> FloatArray:
        p = 1 / (1 + np.exp(-(own @ b)))
        return np.asarray((own.T * (p * (1 - p))) @ own + np.diag(penalty))

    pooled = minimize(objective, np.zeros(7), jac=True, hess=curvature, method="trust-exact", tol=1e-9)
    assert found.converged
    assert found.coefficients == pytest.approx(pooled.x, abs=1e-8)
    assert found.covariance == pytest.approx(np.linalg.inv(curvature(pooled.x)), abs=1e-8)


def test_averaging_local_fits_is_measurably_another_answer() -> None:
    rows = hospitals(0)
    design, outcome, site = rows
    whole = federated(rows, ridge=1e-3)
    sizes = np.bincount(site)
    local = [
        federated((design[site == s], outcome[site == s], site[site == s]), ridge=1e-3) for s in range(4)
    ]
    averaged = np.average([fit.coefficients for fit in local], axis=0, weights=sizes)
    assert np.max(np.abs(averaged - whole.coefficients)) > 0.05


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(2, 20))
def test_pooled_calibration_figures_are_those_of_a_loop_over_rows(seed: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    p = np.round(rng.random(60), 2)  # many exactly on the edges
    y, site = rng.integers(0, 2, 60), rng.integers(0, 3, 60)
    parts = (reliability_sums(p[site == s], y[site == s], bins=bins) for s in range(3))
    found = finish_reliability(Sums.total(parts))
    gaps, heaviest = 0.0, 0.0
    for k in range(bins):
        rows = [
            (a, b)
            for a, b in zip(p, y, strict=True)
            if k / bins <= a and (a < (k + 1) / bins or k == bins - 1)
        ]
        if rows:
            gap = abs(sum(a for a, _ in rows) / len(rows) - sum(b for _, b in rows) / len(rows))
            gaps += gap * len(rows) / 60
            heaviest = max(heaviest, gap)
    assert found["ece"] == pytest.approx(gaps, abs=1e-12)
    assert found["mce"] == pytest.approx(heaviest, abs=1e-12)
    assert found["brier"] == pytest.approx(brier_score_loss(y, p, pos_label=1), abs=1e-12)
    split = brier_decomposition(
        Sums.total(reliability_sums(p[site == s], y[site == s], bins=bins) for s in range(3))
    )
    assert split is not None
    slow = [0.0, 0.0, 0.0]  # each row's bin: reliability, resolution, within (Stephenson et al. 2008, eq. 7)
    for k in range(bins):
        own = (k / bins <= p) & ((p < (k + 1) / bins) | (k == bins - 1))
        if own.any():
            a, b = p[own].mean(), y[own].mean()
            slow[0] += own.sum() / 60 * (a - b) ** 2
            slow[1] += own.sum() / 60 * (b - y.mean()) ** 2
            slow[2] += np.sum((p[own] - a) ** 2 - 2 * (p[own] - a) * (y[own] - b)) / 60
    assert [split[name] for name in ("reliability", "resolution", "within_bins")] == pytest.approx(
        slow, abs=1e-12
    )
    assert split["uncertainty"] == pytest.approx(y.mean() * (1 - y.mean()), abs=1e-12)
    surprise = [-math.log(max(a if b else 1 - a, 1e-12)) for a, b in zip(p, y, strict=True)]
    assert found["log_loss"] == pytest.approx(math.fsum(surprise) / 60, abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(2, 200))
def test_az_over_all_sites_is_that_of_scikit_learn_on_pooled_and_binned_points(seed: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    truth, scan = np.append([False, True], rng.random(198) < 0.3), rng.integers(0, 7, 200)
    score = np.clip(rng.normal(0.4 + 0.2 * truth, 0.3), 0, 1)
    score[2:40] = np.round(score[2:40], 2)  # many exactly on the edges
    empty = np.zeros(1, int)
    results = [
        ScanResult(empty, empty, empty, False, None, 0.5, Points(score[scan == s], truth[scan == s]))
        for s in range(7)
    ]
    sites = (results[:1], results[1:4], results[4:])
    found = finish_segmentation(Sums.total(segmentation_sums(site, bins=bins) for site in sites), ["vessel"])
    binned = [max(k for k in range(bins) if k / bins <= s) for s in score]
    assert found["az"] == pytest.approx(roc_auc_score(truth, binned), abs=1e-12)
    assert abs(found["az"] - roc_auc_score(truth, score)) <= found["az_bound"] + 1e-12


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(2, 200))
def test_pooled_auroc_lies_within_its_bound_of_the_exact_one(seed: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    truth, site = np.append([False, True], rng.random(58) < 0.4), rng.integers(0, 3, 60)
    site[:3] = range(3)
    score = np.clip(rng.normal(0.4 + 0.2 * truth, 0.3), 0, 1)
    results = [
        ScanResult(np.zeros(1, int), np.zeros(1, int), np.array([int(t)]), False, bool(t), float(s))
        for t, s in zip(truth, score, strict=True)
    ]
    parts = (
        segmentation_sums([r for r, own in zip(results, site, strict=True) if own == s], bins=bins)
        for s in range(3)
    )
    found = finish_segmentation(Sums.total(parts), ["tumour"])
    assert abs(found["auroc"] - roc_auc_score(truth, score)) <= found["auroc_bound"] + 1e-12
    assert found["auroc_bound"] <= 0.5
