import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from shared.folds import NO_FOLD
from shared.isotonic import bin_bound, class_counts, count_shapes, isotonic
from shared.score_bins import BINS, EDGES, bin_of
from shared.sums import FloatArray, IntArray, Sums


def rows(seed: int, n: int = 120) -> tuple[FloatArray, IntArray]:
    rng = np.random.default_rng(seed)
    raw = rng.normal(0, 3, n)
    return raw, (rng.random(n) < 1 / (1 + np.exp(-raw / 2))).astype(np.int64)


def counted(raw: FloatArray, outcome: IntArray) -> Sums:
    return class_counts(raw, outcome, fold=np.full(len(raw), NO_FOLD), fits=1)


def log_loss(p: FloatArray, y: IntArray) -> float:
    of_outcome = np.where(y == 1, p, 1 - p)
    return float(-np.sum(np.log(of_outcome)))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200))
def test_the_map_is_that_of_scikit_learn_on_bins_with_the_two_imagined_rows(seed: int, n: int) -> None:
    raw, outcome = rows(seed, n)
    sums = counted(raw, outcome)
    found = isotonic(sums["positives"][0], sums["negatives"][0])
    x, y = np.append(bin_of(raw), [-1, BINS]), np.append(outcome, [1, 0])
    oracle = IsotonicRegression(out_of_bounds="clip").fit(x, y)
    assert 1 / (1 + np.exp(-found.log_odds(raw))) == pytest.approx(oracle.predict(bin_of(raw)), abs=1e-9)
    assert np.all(np.isfinite(found.parameters))  # never 0 or 1, not even in bins that saw nobody
    assert np.all(np.diff(found.parameters) >= 0)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200))
def test_the_fit_on_the_rows_themselves_is_better_by_no_more_than_the_bound(seed: int, n: int) -> None:
    raw, outcome = rows(seed, n)
    raw = raw * 0.2  # several rows a bin
    sums = counted(raw, outcome)
    bound = bin_bound(sums["positives"][0], sums["negatives"][0])
    exact = np.clip(IsotonicRegression().fit(raw, outcome).predict(raw), 0, 1)
    coarse = np.clip(IsotonicRegression().fit(bin_of(raw), outcome).predict(bin_of(raw)), 0, 1)
    gain = (log_loss(coarse, outcome) - log_loss(exact, outcome)) / n
    assert -1e-12 <= gain <= bound + 1e-12


def test_the_bound_is_reached_and_is_nothing_where_no_bin_mixes() -> None:
    positives, negatives = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    assert bin_bound(positives, negatives) == 0
    positives[50] = negatives[50] = 3
    assert bin_bound(positives, negatives) == pytest.approx(np.log(2))  # parted rows cost nothing, mixed ln 2
    negatives[50] = 0
    negatives[20] = 3
    assert bin_bound(positives, negatives) == 0


def test_of_scores_that_part_the_outcomes_the_ends_follow_laplace() -> None:
    positives, negatives = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    negatives[40], positives[100] = 8, 18
    found = 1 / (1 + np.exp(-np.array(isotonic(positives, negatives).parameters)))
    assert found[:100] == pytest.approx(1 / 9)
    assert found[100:] == pytest.approx(18 / 19)


def test_counts_leave_out_a_fold_and_add_up() -> None:
    raw, outcome = rows(3)
    fold = np.random.default_rng(3).integers(-1, 3, len(raw))
    whole = class_counts(raw, outcome, fold=fold, fits=4)
    assert {name: array.shape for name, array in whole.values.items()} == count_shapes(4)
    for j in range(4):
        for name, y in (("positives", 1), ("negatives", 0)):
            own = np.histogram(raw[(fold != j) & (outcome == y)], [-np.inf, *EDGES, np.inf])[0]
            assert whole[name][j].tolist() == own.tolist()
    half = raw > 0
    parts = (class_counts(raw[h], outcome[h], fold=fold[h], fits=4) for h in (half, ~half))
    total = Sums.total(parts)
    assert all(np.array_equal(total[name], whole[name]) for name in whole.values)
