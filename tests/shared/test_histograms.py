"""Bins and what is read off them, against numpy on the values themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.histograms import WHOLE, Bins, apportioned
from shared.statistics import FINDINGS, INTENSITY, SHAPE, SIDE_MM, SPACING_MM, VOLUME_ML
from shared.sums import FloatArray

VALUES = st.lists(st.floats(-9e4, 9e6, width=32), min_size=1, max_size=200).map(np.array)


def by_hand(edges: FloatArray, value: float) -> int:
    """The bin of one value by looking at every edge."""
    below = [place for place, edge in enumerate(edges[:-1]) if edge <= value]
    return max(below, default=0)


@given(VALUES)
def test_each_value_lies_in_the_bin_that_a_look_at_every_edge_finds(values: FloatArray) -> None:
    expected = np.zeros(len(INTENSITY), np.int64)
    for value in values:
        expected[by_hand(INTENSITY.edges, float(value))] += 1
    assert (INTENSITY.count(values) == expected).all()


@pytest.mark.parametrize("bins", [INTENSITY, SPACING_MM, SHAPE, VOLUME_ML, SIDE_MM, FINDINGS])
def test_what_lies_outside_counts_in_the_outermost_bins(bins: Bins) -> None:
    low, high = bins.edges[0], bins.edges[-1]
    counts = bins.count(np.array([low - 1, high, high * 2]))
    assert counts[int(bins.none)] == 1
    assert counts[-1] == 2
    assert len(counts) == len(bins)


@pytest.mark.parametrize("bins", [VOLUME_ML, SIDE_MM])
def test_zeros_have_a_bin_of_their_own_and_no_part_in_a_quantile(bins: Bins) -> None:
    counts = bins.count(np.array([0.0, 0.0, 0.0, 5.0]))
    assert counts[0] == 3
    found = bins.quantile(counts, 0.5)
    assert found is not None
    assert found.low <= 5 < found.high
    assert bins.quantile(bins.count(np.zeros(3)), 0.5) is None


@pytest.mark.parametrize("bins", [INTENSITY, SPACING_MM, SHAPE, SIDE_MM])
def test_a_round_number_and_its_rounding_error_share_a_bin(bins: Bins) -> None:
    for value in (1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 100.0):
        near = value * np.array([1 - 1e-6, 1, 1 + 1e-6])
        assert bins.count(near).max() == 3, value


@given(VALUES, st.sampled_from([0.005, 0.05, 0.5, 0.95, 0.995]))
def test_a_quantile_lies_in_the_bin_of_the_values_own_quantile(values: FloatArray, fraction: float) -> None:
    exact = float(np.quantile(values, fraction, method="inverted_cdf"))
    found = INTENSITY.quantile(INTENSITY.count(values), fraction)
    assert found is not None
    assert found.low <= exact < found.high
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize(
    ("value", "expected"), [(1.0, 1.0), (1.5, 1.5), (0.9375, 0.94), (2.5, 2.5), (0.7, 0.7), (5.0, 5.0)]
)
def test_the_roundest_value_has_as_few_digits_as_stay_within_the_bin(value: float, expected: float) -> None:
    found = SPACING_MM.quantile(SPACING_MM.count(np.full(7, value)), 0.5)
    assert found is not None
    assert found.low <= found.roundest <= found.high
    assert found.roundest == pytest.approx(expected, rel=0.02)
    assert len(f"{found.roundest:g}") <= len(f"{expected:g}")


@given(st.lists(st.lists(st.integers(0, 10**8), min_size=5, max_size=5), min_size=1, max_size=4))
def test_shares_are_kept_and_add_up_exactly(rows: list[list[int]]) -> None:
    counts = np.array(rows)
    found = apportioned(counts)
    assert (found >= 0).all()
    for row, scaled in zip(counts, found, strict=True):
        assert scaled.sum() == (WHOLE if row.sum() else 0)
        if row.sum():
            exact = np.cumsum(row) / row.sum() * WHOLE
            assert np.abs(np.cumsum(scaled) - exact).max() <= 0.5 + 1e-6


def test_a_scan_that_is_counted_in_parts_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(0, 100, 1000)
    whole = INTENSITY.count(values)
    monkeypatch.setattr("shared.histograms.AT_ONCE", 7)
    assert (INTENSITY.count(values) == whole).all()
