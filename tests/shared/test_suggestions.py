"""What the figures suggest for a study, and that it can be written into one."""

from typing import Any

import pytest
from hypothesis import given, settings

from shared.described import finish_statistics
from shared.statistics import Scan, statistics_sums
from shared.study import Model, Study
from shared.suggestions import MOST_VOXELS, Suggestion, suggestions
from tests.shared.statistics_samples import PATIENTS, STUDY, scan

CT: dict[str, Any] = {
    "values": [-1000.0, -800.0, -100.0, 40.0, 60.0, 300.0],
    "labelled_values": [-15.0, 40.0, 155.0],
}


def suggested(*scans: Scan, model: Model = STUDY.model) -> dict[str, Suggestion]:
    figures = finish_statistics(statistics_sums([[one] for one in scans], channels=1, classes=1), STUDY.task)
    return {one.key: one for one in suggestions(figures, model)}


def window(*scans: Scan, model: Model = STUDY.model) -> list[int]:
    found: list[int] = suggested(*scans, model=model)["training.window"].value
    return found


@settings(deadline=None, max_examples=40)
@given(PATIENTS)
def test_whatever_is_suggested_can_stand_in_a_study(patients: list[list[Scan]]) -> None:
    figures = finish_statistics(statistics_sums(patients, channels=1, classes=1), STUDY.task)
    values: dict[str, Any] = STUDY.model_dump(mode="json")
    for one in suggestions(figures, STUDY.model):
        section, key = one.key.split(".")
        values[section][key] = one.value
        assert one.reason
    study = Study.parse(values, "suggested")
    x, y, z = study.training.window
    assert x * y * z <= MOST_VOXELS


def test_a_ct_gets_the_window_of_what_is_labelled() -> None:
    value = suggested(scan(**CT), scan(**CT))["preprocessing.intensity"].value
    assert value["kind"] == "ct_window"
    assert -30 <= value["low_hu"] <= -15
    assert 155 <= value["high_hu"] <= 170


def test_a_ct_without_labels_gets_the_window_of_the_foreground_and_is_told_so() -> None:
    found = suggested(scan(**CT, label=False))["preprocessing.intensity"]
    assert found.value["low_hu"] <= -1000
    assert "nothing is labelled" in found.reason


@pytest.mark.parametrize(
    "values", [[0.0, 500.0, 1800.0], [-300.0, 20.0, 900.0], [0.0, 0.4, 1.0], [-1e3, 9e4]]
)
def test_what_is_not_in_hounsfield_units_gets_a_z_score(values: list[float]) -> None:
    found = suggested(scan(values=values))["preprocessing.intensity"]
    assert found.value == {"kind": "zscore"}
    assert "Hounsfield" in found.reason


def test_the_spacing_is_the_median_in_round_numbers() -> None:
    scans = [scan(spacing_mm=(side, side, 1.5)) for side in (0.7, 1.0, 1.0, 1.0, 2.0)]
    assert suggested(*scans)["preprocessing.spacing_mm"].value == [1.0, 1.0, 1.5]


def test_thick_slices_get_the_tenth_percentile_on_their_axis_alone() -> None:
    scans = [scan(spacing_mm=(0.8, 0.8, z)) for z in (2.5, 2.5, *[5.0] * 8)]
    found = suggested(*scans)["preprocessing.spacing_mm"]
    assert found.value == [0.8, 0.8, 2.5]
    assert "10th percentile" in found.reason
    thin = suggested(*[scan(spacing_mm=(0.8, 0.8, z)) for z in (1.0, 1.0, *[2.0] * 8)])
    assert thin["preprocessing.spacing_mm"].value == [0.8, 0.8, 2.0]


def test_the_window_covers_all_but_the_longest_findings_in_multiples_of_the_stride() -> None:
    scans = [scan(sides_mm=[side], shape=(400, 400, 400)) for side in [30.0] * 98 + [300.0] * 2]
    side_low, side_high = 30, 36  # up to a bin of 7 % and one stride of 4
    assert all(side_low <= side <= side_high and side % 4 == 0 for side in window(*scans))


def test_the_window_is_counted_in_voxels_of_the_suggested_spacing() -> None:
    x, y, z = window(scan(sides_mm=[60.0], spacing_mm=(1.0, 1.0, 2.0), shape=(300, 300, 300)))
    assert x == y
    assert 60 <= x <= 68
    assert 30 <= z <= 36


def test_the_window_ends_with_the_median_scan_and_with_memory() -> None:
    assert window(scan(sides_mm=[90.0], shape=(48, 48, 16))) == [48, 48, 16]
    large = suggested(scan(sides_mm=[300.0], shape=(512, 512, 512)))["training.window"]
    assert "memory" in large.reason
    assert max(large.value) <= 128


def test_tiny_findings_leave_something_at_the_networks_lowest_level() -> None:
    assert window(scan(sides_mm=[2.0])) == [16, 16, 16]


def test_a_2_d_model_gets_one_slice() -> None:
    flat = Model(dimensions=2, channels=(4, 8, 16))
    assert window(scan(sides_mm=[30.0], shape=(256, 256, 40)), model=flat)[2] == 1


def test_without_a_finding_the_window_is_the_median_scan() -> None:
    found = suggested(scan(sides_mm=(), shape=(40, 48, 32)))["training.window"]
    assert found.value == [40, 48, 32]
    assert "no finding is labelled" in found.reason
