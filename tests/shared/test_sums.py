from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.calibration import logistic_sums
from shared.errors import DataError, WireError
from shared.metrics import ScanResult, finish_segmentation, segmentation_shapes, segmentation_sums
from shared.points import Points
from shared.reliability import finish_reliability, reliability_shapes, reliability_sums
from shared.sums import LARGEST_COUNT, Sums, bin_index

CLASSES = ("core", "edema")


@st.composite
def groupings(draw: st.DrawFn) -> tuple[int, list[list[int]]]:
    """A seed, and patients 0..n-1 dealt to sites in any order."""
    patients = draw(st.permutations(range(draw(st.integers(1, 25)))))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(patients) - 1)), max_size=6)) - {len(patients)})
    sites = [list(patients[a:b]) for a, b in zip([0, *cuts], [*cuts, len(patients)], strict=True)]
    return draw(st.integers(0, 2**32 - 1)), sites


def scans(rng: np.random.Generator, count: int) -> list[ScanResult]:
    predicted, reference = rng.integers(0, 40, (2, count, 2)) * rng.integers(0, 2, (2, count, 2))
    overlap = rng.integers(0, np.minimum(predicted, reference) + 1)
    return [
        ScanResult(i, p, r, bool(p.any()), bool(r.any()), float(score))
        for i, p, r, score in zip(overlap, predicted, reference, rng.random(count), strict=True)
    ]


def scans_on_points(rng: np.random.Generator, count: int) -> list[ScanResult]:
    """As `scans`, with 0..30 labelled points each and nothing said about findings."""
    sizes = rng.integers(0, 31, count)
    return [
        replace(scan, reference_finding=None, points=Points(rng.random(n), rng.random(n) < 0.4))
        for scan, n in zip(scans(rng, count), sizes, strict=True)
    ]


def assert_same(one: Any, other: Any) -> None:
    """Equal JSON values; floats to 1e-12."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    elif isinstance(one, float):
        assert one == pytest.approx(other, abs=1e-12, rel=1e-12)
    else:
        assert one == other


def assert_regrouping_changes_nothing(
    sites: list[list[int]], measure: Callable[[list[int]], Sums], finish: Callable[[Sums], Any]
) -> None:
    everyone = sorted(patient for site in sites for patient in site)
    parts = [measure(site) for site in sites]
    total = Sums.total(parts)
    assert_same(finish(total), finish(measure(everyone)))
    backwards = Sums.total(parts[::-1])
    for name, array in total.values.items():
        assert np.array_equal(array, backwards[name])


@settings(deadline=None, max_examples=60)
@given(groupings(), st.sampled_from([scans, scans_on_points]))
def test_regrouping_sites_leaves_every_segmentation_figure_unchanged(
    grouping: tuple[int, list[list[int]]], draw: Callable[[np.random.Generator, int], list[ScanResult]]
) -> None:
    seed, sites = grouping
    everyone = draw(np.random.default_rng(seed), sum(map(len, sites)))

    def measure(site: list[int]) -> Sums:
        return segmentation_sums([everyone[i] for i in site], bins=10)

    assert_regrouping_changes_nothing(sites, measure, lambda s: finish_segmentation(s, CLASSES))


@settings(deadline=None, max_examples=60)
@given(groupings())
def test_regrouping_sites_leaves_every_reliability_figure_unchanged(
    grouping: tuple[int, list[list[int]]],
) -> None:
    seed, sites = grouping
    rng = np.random.default_rng(seed)
    probability = rng.random(sum(map(len, sites)))
    outcome = rng.random(len(probability)) < probability

    def measure(site: list[int]) -> Sums:
        return reliability_sums(probability[site], outcome[site], bins=5)

    assert_regrouping_changes_nothing(sites, measure, finish_reliability)


@settings(deadline=None, max_examples=60)
@given(groupings())
def test_regrouping_sites_leaves_the_logistic_derivatives_unchanged(
    grouping: tuple[int, list[list[int]]],
) -> None:
    seed, sites = grouping
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(sum(map(len, sites)), 3))
    outcome, coefficients = rng.integers(0, 2, len(design)), rng.normal(size=3)

    def measure(site: list[int]) -> Sums:
        return logistic_sums(design[site], outcome[site], coefficients)

    assert_regrouping_changes_nothing(
        sites, measure, lambda s: {name: array.tolist() for name, array in s.values.items()}
    )


@settings(deadline=None)
@given(st.lists(st.floats(-1e15, 1e15), min_size=1, max_size=20), st.randoms())
def test_totals_are_bit_for_bit_the_same_in_any_order(values: list[float], random: Any) -> None:
    shuffled = values.copy()
    random.shuffle(shuffled)
    one, other = (Sums.total(Sums({"x": np.array([v])}) for v in order) for order in (values, shuffled))
    assert one["x"].tobytes() == other["x"].tobytes()


def test_adding_keeps_counts_counts_and_shapes_shapes() -> None:
    one = Sums({"n": np.array(2), "h": np.ones((2, 3))})
    both = one + one
    assert both["n"].dtype == np.int64
    assert both["n"].shape == ()
    assert both["h"].tolist() == [[2.0] * 3] * 2


def test_the_arrays_of_a_sum_are_its_own() -> None:
    array = np.array([1.0])
    sums = Sums({"x": array})
    array[0] = 5
    assert sums["x"][0] == 1
    with pytest.raises(ValueError, match="read-only"):
        sums["x"][0] = 5


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"y": np.ones(2)}, r"missing \['x'\], unexpected \['y'\]"),
        ({"x": np.ones(3)}, r"x has shape \(3,\)"),
        ({"x": np.ones(2, dtype=int)}, "int64"),
    ],
)
def test_sums_that_differ_are_not_added(other: dict[str, Any], told: str) -> None:
    with pytest.raises(WireError, match=told):
        Sums({"x": np.ones(2)}) + Sums(other)


def test_a_total_of_nothing_is_refused() -> None:
    with pytest.raises(WireError, match="no sums"):
        Sums.total([])


@pytest.mark.parametrize(
    "array",
    [
        np.array([1.0, np.nan]),
        np.array([1.0, np.inf]),
        np.array([1.0, 1e300]),
        np.array([1, -1]),
        np.array([1, LARGEST_COUNT + 1]),
        np.array(["1", "2"]),
        np.array([1j, 2]),
        np.array([True, False]),
        np.array([1.0]),
    ],
)
def test_arrays_that_no_honest_site_sends_are_refused(array: Any) -> None:
    with pytest.raises(WireError, match="x "):
        Sums.from_arrays({"x": array}, {"x": (2,)})


def test_arrays_that_went_out_come_back_the_same() -> None:
    rng = np.random.default_rng(0)
    sums = segmentation_sums(scans(rng, 4), bins=10)
    back = Sums.from_arrays(sums.to_arrays(), segmentation_shapes(2, 10))
    assert_same(finish_segmentation(back, CLASSES), finish_segmentation(sums, CLASSES))
    reliability = reliability_sums(rng.random(4), np.ones(4), bins=5)
    Sums.from_arrays(reliability.to_arrays(), reliability_shapes(5))
    with pytest.raises(WireError, match="missing"):
        Sums.from_arrays(sums.to_arrays(), reliability_shapes(5))


def test_a_probability_on_an_edge_falls_into_the_bin_above() -> None:
    for bins in range(2, 200):
        edges = np.arange(bins + 1) / bins
        assert bin_index(edges, bins=bins).tolist() == [*range(bins), bins - 1]


@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.nan])
def test_what_is_no_probability_has_no_bin(wrong: float) -> None:
    with pytest.raises(DataError, match=r"0\.\.1"):
        bin_index(np.array([0.5, wrong]), bins=10)
