"""The federated fit is the fit on pooled rows, also when a site is lost on the way."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from server.calibration import Calibrated, calibrate
from shared.errors import FederationError
from shared.study import Priority
from shared.sums import FloatArray
from shared.wire import Record
from tests.server.fake_sites import STUDY, Act, FakeSite, derivatives, enrolled, failing, hospitals, silent

assert STUDY.priority is not None
PRIORITY: Priority = STUDY.priority


def fitted(sites: list[FakeSite], priority: Priority = PRIORITY) -> Calibrated:
    return calibrate(enrolled(sites), priority)


def pooled(sites: list[FakeSite]) -> FloatArray:
    """scikit-learn on all rows: its C is 1 / (patients * ridge)."""
    design = np.vstack([site.design for site in sites])
    outcome = np.concatenate([site.outcome for site in sites])
    fit = LogisticRegression(
        C=1 / (len(outcome) * PRIORITY.ridge), solver="newton-cholesky", tol=1e-12, max_iter=200
    ).fit(design[:, 1:], outcome)
    return np.append(fit.intercept_, fit.coef_)


def coefficients(found: Calibrated) -> list[float]:
    return list(found.priority.coefficients.values())


@pytest.mark.parametrize("seed", range(3))
def test_the_fit_over_the_federation_is_the_fit_on_pooled_rows(seed: int) -> None:
    sites = hospitals("north", "east", "south", seed=seed)
    found = fitted(sites)
    assert coefficients(found) == pytest.approx(pooled(sites), abs=1e-8)
    assert found.figures.converged
    assert found.figures.patients == sum(site.patients for site in sites)
    assert found.figures.urgent == sum(site.outcome.sum() for site in sites)


def leaves_after(exchanges: int, how: Act) -> dict[str, Act]:
    def act(site: FakeSite, record: Record) -> object:
        asked = [r for r in site.asked if r.kind == "newton"]
        return derivatives(site, record) if len(asked) <= exchanges else how(site, record)

    return {"newton": act}  # type: ignore[dict-item]


@pytest.mark.parametrize("how", [silent, failing("internal")], ids=["silent", "failing"])
@pytest.mark.parametrize("exchanges", [0, 1, 3])
def test_a_site_that_drops_out_is_left_out_and_the_fit_starts_again(exchanges: int, how: Act) -> None:
    sites = hospitals("north", "east", "south", east=leaves_after(exchanges, how))
    federation = enrolled(sites)
    found = calibrate(federation, PRIORITY)
    remaining = [site for site in sites if site.name != "east"]
    assert coefficients(found) == pytest.approx(pooled(remaining), abs=1e-8)
    assert found.figures.patients == sum(site.patients for site in remaining)
    assert found.figures.after.n == found.figures.patients
    assert [(e.site, e.phase) for e in federation.events] == [("east", "derivatives")]
    asked = [r for r in sites[1].asked if r.kind == "newton"]
    assert len(asked) == exchanges + 1  # a site that left is not asked again


@pytest.mark.parametrize("lost", [False, True], ids=["all sites", "one lost on the way"])
def test_with_site_intercepts_the_fit_is_the_pooled_optimum(lost: bool) -> None:
    instead = leaves_after(2, silent) if lost else {}
    sites = hospitals("north", "east", "south", east=instead)
    found = fitted(sites, PRIORITY.model_copy(update={"site_intercept": True}))
    used = sorted((s for s in sites if not (lost and s.name == "east")), key=lambda s: s.name)
    design = np.vstack(
        [
            np.hstack([np.tile(np.eye(len(used))[i], (s.patients, 1)), s.design[:, 1:]])
            for i, s in enumerate(used)
        ]
    )
    outcome = np.concatenate([s.outcome for s in used])
    penalty = len(outcome) * PRIORITY.ridge * np.array([0.0] * len(used) + [1.0, 1.0])

    def objective(b: FloatArray) -> tuple[float, FloatArray]:
        z = design @ b
        loss = float(np.sum(np.logaddexp(0, z) - outcome * z) + penalty @ b**2 / 2)
        return loss, design.T @ (1 / (1 + np.exp(-z)) - outcome) + penalty * b

    def curvature(b: FloatArray) -> FloatArray:
        p = 1 / (1 + np.exp(-(design @ b)))
        return np.asarray((design.T * (p * (1 - p))) @ design + np.diag(penalty))

    oracle = minimize(
        objective, np.zeros(len(penalty)), jac=True, hess=curvature, method="trust-exact", tol=1e-9
    )
    assert coefficients(found) == pytest.approx(oracle.x, abs=1e-8)
    expected = [*(f"intercept[{s.name}]" for s in used), "a", "b"]
    assert list(found.priority.coefficients) == expected


def test_reliability_is_judged_with_the_coefficients_that_were_fitted() -> None:
    sites = hospitals("north", "east")
    found = fitted(sites)
    p = np.concatenate([1 / (1 + np.exp(-(s.design @ coefficients(found)))) for s in sites])
    before = np.concatenate([s.probability for s in sites])
    y = np.concatenate([s.outcome for s in sites])
    assert found.figures.after.brier == pytest.approx(np.mean((p - y) ** 2), abs=1e-12)
    assert found.figures.before.brier == pytest.approx(np.mean((before - y) ** 2), abs=1e-12)


def test_when_no_site_is_left_it_is_an_error() -> None:
    instead = leaves_after(1, failing("policy.kind"))
    with pytest.raises(FederationError, match="no site released"):
        fitted(hospitals("north", "east", north=instead, east=instead))
