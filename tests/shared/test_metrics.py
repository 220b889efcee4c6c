import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import DataError, WireError
from shared.metrics import (
    ScanResult,
    auroc_from_histograms,
    dice,
    finish_segmentation,
    segmentation_shapes,
    segmentation_sums,
    wilson_interval,
    worst_and_spread,
)
from shared.points import Points
from shared.sums import Sums


def scan(intersection: int, predicted: int, reference: int, score: float = 0.5) -> ScanResult:
    i, p, r = (np.array([count]) for count in (intersection, predicted, reference))
    return ScanResult(i, p, r, predicted > 0, reference > 0, score)


def on_points(probability: list[float], positive: list[bool]) -> ScanResult:
    points = Points(np.array(probability), np.array(positive, dtype=bool))
    return replace(scan(1, 2, 3), reference_finding=None, points=points)


@pytest.mark.parametrize(
    ("predicted", "reference", "expected"), [(0, 0, 1.0), (5, 0, 0.0), (0, 5, 0.0), (5, 5, 0.8)]
)
def test_dice_on_empty_masks_is_what_the_table_says(predicted: int, reference: int, expected: float) -> None:
    overlap = 4 if predicted and reference else 0
    assert dice(np.array([overlap]), np.array([predicted]), np.array([reference]))[0] == expected


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_figures_agree_with_a_loop_over_masks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = rng.binomial(1, rng.choice([0.0, 0.3, 0.9], (8, 2, 2, 1)), (8, 2, 2, 30)).astype(bool)
    results, table = [], []
    for predicted, reference in masks.transpose(0, 2, 1, 3):
        both = predicted & reference
        i, p, r = (np.array([c.sum() for c in m]) for m in (both, predicted, reference))
        results.append(ScanResult(i, p, r, bool(predicted.any()), bool(reference.any()), 0.5))
        table.append([2 * a / (b + c) if b + c else 1.0 for a, b, c in zip(i, p, r, strict=True)])
    found = finish_segmentation(segmentation_sums(results, bins=4), ["a", "b"])
    expected = np.array(table)
    positive = np.asarray(masks[:, :, 1].any(axis=-1))
    assert found["dice"] == pytest.approx(expected.mean(), abs=1e-12)
    for c, name in enumerate("ab"):
        assert found["dice_by_class"][name] == pytest.approx(expected[:, c].mean(), abs=1e-12)
        assert found["dice_variance_by_class"][name] == pytest.approx(expected[:, c].var(), abs=1e-12)
        on_positive = expected[positive[:, c], c]
        mean = pytest.approx(on_positive.mean(), abs=1e-12) if len(on_positive) else None
        assert found["dice_on_positive_by_class"][name] == mean
    called, holds = (np.asarray(masks[:, :, k].any(axis=(1, 2))) for k in (0, 1))
    assert found["sensitivity"] == (pytest.approx(called[holds].mean()) if holds.any() else None)
    assert found["specificity"] == (pytest.approx(1 - called[~holds].mean()) if (~holds).any() else None)
    assert found["prevalence"] == pytest.approx(holds.mean())


def test_what_cannot_be_known_is_none_and_all_is_json() -> None:
    healthy = finish_segmentation(segmentation_sums([scan(0, 0, 0), scan(0, 3, 0)], bins=5), ["tumour"])
    for name in ("sensitivity", "sensitivity_interval", "auroc", "auroc_bound", "dice_on_positive"):
        assert healthy[name] is None
    assert healthy["specificity"] == healthy["dice"] == 0.5
    assert json.loads(json.dumps(healthy, allow_nan=False)) == healthy


def test_no_scans_at_all_finish_to_none() -> None:
    counts = ("dice_sum", "dice_square_sum", "dice_positive_sum")
    nothing = Sums(
        {n: np.zeros(s, float if n in counts else int) for n, s in segmentation_shapes(1, 4).items()}
    )
    figures = finish_segmentation(nothing, ["tumour"])
    assert figures.pop("scans") == 0
    assert {
        v for value in figures.values() for v in (value.values() if isinstance(value, dict) else [value])
    } == {None}


def test_the_sums_have_the_announced_names_and_shapes() -> None:
    sums = segmentation_sums([scan(1, 2, 3)], bins=7)
    assert {name: array.shape for name, array in sums.values.items()} == segmentation_shapes(1, 7)


def test_the_sums_of_points_have_the_announced_names_and_shapes() -> None:
    sums = segmentation_sums([on_points([0.2, 0.7], [False, True])], bins=7)
    found = {name: array.shape for name, array in sums.values.items()}
    assert found == segmentation_shapes(1, 7, points=True)
    assert found.keys() - segmentation_shapes(1, 7).keys() == {"point_positive", "point_negative"}
    assert {sums[name].dtype for name in ("point_positive", "point_negative")} == {np.dtype(np.int64)}


def test_points_say_nothing_about_findings_of_a_scan() -> None:
    scans = [on_points([0.2, 0.7], [False, True]), on_points([], [])]
    figures = finish_segmentation(segmentation_sums(scans, bins=10), ["tumour"])
    for name in ("sensitivity", "specificity", "auroc", "auroc_bound", "prevalence"):
        assert figures[name] is None
    assert (figures["scans"], figures["az"], figures["az_bound"]) == (2, 1.0, 0.0)


def test_az_needs_both_kinds_of_points_and_a_study_of_points() -> None:
    for truth in ([], [False, False], [True]):
        sums = segmentation_sums([on_points([0.5] * len(truth), truth)], bins=10)
        assert finish_segmentation(sums, ["tumour"])["az"] is None
    assert finish_segmentation(segmentation_sums([scan(1, 2, 3)], bins=10), ["tumour"])["az"] is None


def test_scans_of_points_and_others_do_not_mix() -> None:
    with pytest.raises(DataError, match="1 of 2 scans are judged on points"):
        segmentation_sums([scan(1, 2, 3), on_points([0.5], [True])], bins=5)
    with pytest.raises(DataError, match="one shape"):
        Points(np.zeros(3), np.zeros(2, bool))
    with pytest.raises(DataError, match="NaN"):
        segmentation_sums([on_points([np.nan], [True])], bins=5)


def test_sums_of_another_number_of_classes_are_refused() -> None:
    with pytest.raises(WireError, match="dice_sum"):
        finish_segmentation(segmentation_sums([scan(1, 2, 3)], bins=7), ["a", "b"])


def test_scans_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(DataError, match="intersection"):
        scan(3, 2, 5)
    with pytest.raises(DataError, match="finding_probability"):
        scan(1, 2, 3, float("nan"))
    with pytest.raises(DataError, match="one shape"):
        ScanResult(np.ones(1, int), np.ones(2, int), np.ones(2, int), True, True, 0.5)
    with pytest.raises(DataError, match="at least one scan"):
        segmentation_sums([], bins=5)


def test_auroc_of_separated_reversed_and_shared_bins() -> None:
    assert auroc_from_histograms(np.array([0, 3]), np.array([2, 0])) == (1.0, 0.0)
    assert auroc_from_histograms(np.array([3, 0]), np.array([0, 2])) == (0.0, 0.0)
    assert auroc_from_histograms(np.array([3, 0]), np.array([2, 0])) == (0.5, 0.5)


@given(st.integers(1, 500), st.data())
def test_wilson_interval_solves_the_equation_that_defines_it(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    interval = wilson_interval(successes, trials)
    assert interval is not None
    for bound in interval:
        distance = abs(successes / trials - bound)
        assert distance**2 == pytest.approx(1.959963984540054**2 * bound * (1 - bound) / trials, abs=1e-12)
    assert 0 <= interval[0] <= successes / trials <= interval[1] <= 1


def test_the_worst_site_and_the_spread_ignore_order_and_sites_without_a_score() -> None:
    figures: dict[str, dict[str, Any]] = {
        "west": {"dice": 0.6},
        "east": {"dice": 0.6},
        "south": {"dice": 0.9},
        "new": {"dice": None},
    }
    worst, spread = worst_and_spread(figures)
    assert worst == {"site": "east", "dice": 0.6}
    assert spread == {"min": 0.6, "max": 0.9, "standard_deviation": pytest.approx(np.std([0.6, 0.6, 0.9]))}
    assert worst_and_spread(dict(reversed(figures.items()))) == (worst, spread)
    assert worst_and_spread({"new": {"dice": None}})[0] == {"site": None, "dice": None}
