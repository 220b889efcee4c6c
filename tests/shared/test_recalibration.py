import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from shared.errors import DataError
from shared.folds import NO_FOLD
from shared.recalibration import (
    FITS_A_FOLD,
    KINDS,
    Kind,
    Recalibration,
    common_kinds,
    design,
    fit_maps,
    map_sums,
)
from shared.sums import FloatArray, IntArray, Sums

Rows = tuple[FloatArray, IntArray, IntArray]


def scored(seed: int, n: int = 600, *, bend: float = 1.0) -> Rows:
    """Raw log-odds (n,) of which the truth is -0.4 + 0.6 s (positive s times `bend`), outcomes and folds."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(0.3, 2, n)
    truth = -0.4 + 0.6 * raw * np.where(raw > 0, bend, 1)
    return raw, (rng.random(n) < 1 / (1 + np.exp(-truth))).astype(np.int64), rng.integers(-1, 3, n)


def fitted(rows: Rows, fits: int = 1) -> list[dict[Kind, Recalibration]]:
    raw, outcome, fold = rows
    return fit_maps(lambda b: map_sums(raw, outcome, b, fold=fold, fits=fits), fits)


def loss(found: Recalibration, raw: FloatArray, outcome: IntArray) -> float:
    return float(np.sum(np.logaddexp(0, -(2 * outcome - 1) * found.log_odds(raw))))


def unpenalised(x: FloatArray, y: IntArray, *, intercept: bool) -> FloatArray:
    model = LogisticRegression(
        C=np.inf, solver="newton-cholesky", tol=1e-13, max_iter=200, fit_intercept=intercept
    ).fit(x, y)
    return np.append(model.intercept_, model.coef_) if intercept else model.coef_[0]


@pytest.mark.parametrize("seed", range(3))
def test_all_maps_are_the_fits_of_scikit_learn_on_pooled_rows(seed: int) -> None:
    raw, outcome, fold = scored(seed, bend=2)
    for j, maps in enumerate(fitted((raw, outcome, fold), 4)):
        s, y = raw[fold != j], outcome[fold != j]
        columns = design(s)
        assert maps["platt"].parameters[:2] == pytest.approx(
            unpenalised(s[:, None], y, intercept=True), abs=1e-8
        )
        assert maps["temperature"].parameters[1:2] == pytest.approx(
            unpenalised(s[:, None], y, intercept=False), abs=1e-8
        )
        beta = unpenalised(columns[:, 2:], y, intercept=True)
        assert np.all(beta[1:] > 0)
        assert np.array(maps["beta"].parameters)[[0, 2, 3]] == pytest.approx(beta, abs=1e-7)


@pytest.mark.parametrize("seed", range(6))
def test_where_a_slope_would_be_negative_the_map_is_the_best_of_those_that_rise(seed: int) -> None:
    rng = np.random.default_rng(seed)
    raw = rng.normal(0, 1.5, 300)
    chance = 1 / (1 + np.exp(-np.where(raw > 0, -0.3, 1.0) * raw))  # falls above 0
    outcome = (rng.random(300) < chance).astype(np.int64)
    [maps] = fitted((raw, outcome, np.full(300, NO_FOLD)))
    kinds: dict[Kind, list[int]] = {"beta": [0, 2, 3], "platt": [0, 1]}
    for kind, columns in kinds.items():
        x, sign = design(raw)[:, columns], 2 * outcome - 1

        def objective(b: FloatArray, x: FloatArray = x, sign: IntArray = sign) -> tuple[float, FloatArray]:
            margin = sign * (x @ b)
            return float(np.sum(np.logaddexp(0, -margin))), -(sign / (1 + np.exp(margin))) @ x

        bounds = [(None, None)] + [(0, None)] * (len(columns) - 1)
        best = minimize(
            objective, np.zeros(len(columns)), jac=True, bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-10}
        )
        assert min(maps[kind].parameters[1:]) >= 0
        assert loss(maps[kind], raw, outcome) == pytest.approx(best.fun, abs=1e-7)
    assert maps["beta"].parameters[3] == 0  # the free fit would turn it around


def test_scores_that_part_the_outcomes_have_no_map_but_none() -> None:
    raw = np.linspace(-2, 2, 40)
    [maps] = fitted((raw, (raw > 0.5).astype(np.int64), np.full(40, NO_FOLD)))
    assert "temperature" in maps
    assert "platt" not in maps or maps["platt"].parameters[1] == 0
    assert common_kinds([maps, {"none": Recalibration()}]) == ("none",)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_grouping_rows_into_other_sites_changes_no_map(seed: int, sites: int) -> None:
    raw, outcome, fold = scored(seed, 300)
    site = np.random.default_rng(seed).integers(0, sites, 300)

    def gather(b: FloatArray) -> Sums:
        own = (site == s for s in range(sites))
        return Sums.total(map_sums(raw[rows], outcome[rows], b, fold=fold[rows], fits=4) for rows in own)

    for one, other in zip(fit_maps(gather, 4), fitted((raw, outcome, fold), 4), strict=True):
        assert one.keys() == other.keys()
        for kind in one:
            assert one[kind].parameters == pytest.approx(other[kind].parameters, abs=1e-8)


@given(
    st.lists(st.floats(-30, 30), min_size=2, max_size=20), st.lists(st.floats(0, 5), min_size=3, max_size=3)
)
def test_every_map_rises(raw: list[float], slopes: list[float]) -> None:
    found = Recalibration(kind="beta", parameters=(0.3, *slopes)).log_odds(np.sort(raw))
    assert np.all(np.diff(found) >= -1e-9)


def test_none_changes_nothing_and_the_beta_map_is_that_of_the_paper() -> None:
    raw = np.array([-40.0, -1.0, 0.0, 3.0])
    assert Recalibration().log_odds(raw).tolist() == raw.tolist()
    p = 1 / (1 + np.exp(-raw[1:]))
    expected = 1 / (1 + 1 / (np.exp(0.5) * p**2 / (1 - p) ** 3))  # Kull et al. 2017, equation 3
    found = Recalibration(kind="beta", parameters=(0.5, 0, 2, 3)).log_odds(raw[1:])
    assert 1 / (1 + np.exp(-found)) == pytest.approx(expected, abs=1e-12)


def test_a_map_is_of_its_kind_and_survives_json() -> None:
    found = Recalibration(kind="platt", parameters=(0.5, 2, 0, 0))
    assert Recalibration.model_validate_json(found.model_dump_json()) == found
    with pytest.raises(ValidationError, match="has 4 parameters, found 2"):
        Recalibration(kind="platt", parameters=(0.5, 2))
    with pytest.raises(ValidationError, match="must not fall"):
        Recalibration(kind="platt", parameters=(0.5, -2, 0, 0))
    with pytest.raises(ValidationError, match="must not fall"):
        Recalibration(kind="isotonic", parameters=tuple(np.linspace(1, 0, 162)))
    with pytest.raises(DataError, match="not finite"):
        design(np.array([np.inf]))
    assert KINDS == ("none", "temperature", "platt", "beta", "isotonic")
    assert FITS_A_FOLD == 6
