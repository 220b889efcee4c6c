"""Statistics of sites, summed: the law, equal patients, and what is refused."""

from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.described import finish_statistics
from shared.errors import WireError
from shared.histograms import WHOLE
from shared.statistics import Scan, check_statistics, statistics_shapes, statistics_sums
from shared.sums import Sums
from tests.shared.statistics_samples import PATIENTS, STUDY, scan


def summed(patients: list[list[Scan]]) -> Sums:
    return statistics_sums(patients, channels=1, classes=1)


@settings(deadline=None, max_examples=40)
@given(patients=PATIENTS, cuts=st.lists(st.integers(0, 6), max_size=3), order=st.randoms())
def test_regrouping_patients_into_sites_changes_nothing(
    patients: list[list[Scan]], cuts: list[int], order: Random
) -> None:
    together = summed(patients)
    shuffled = list(patients)
    order.shuffle(shuffled)
    edges = sorted({0, len(patients), *(cut for cut in cuts if cut < len(patients))})
    sites = [summed(shuffled[a:b]) for a, b in pairwise(edges)]
    total = Sums.total(reversed(sites))
    assert all((total[name] == together[name]).all() for name in together.values)
    assert finish_statistics(total, STUDY.task) == finish_statistics(together, STUDY.task)


@settings(deadline=None, max_examples=40)
@given(PATIENTS)
def test_what_sites_send_passes_the_check(patients: list[list[Scan]]) -> None:
    sums = summed(patients)
    shapes = statistics_shapes(1, 1)
    check_statistics(Sums.from_arrays(sums.to_arrays(), shapes), patients=len(patients))
    assert {array.dtype for array in sums.values.values()} == {np.dtype(np.int64)}


def test_a_large_scan_and_many_scans_weigh_no_more_than_a_small_one() -> None:
    small, large = scan(values=[10.0]), scan(values=[1000.0] * 10_000)
    sums = summed([[small], [large], [large, small, small]])
    figures = finish_statistics(sums, STUDY.task).intensity["image"]
    assert sums["intensity"].sum() == 3 * WHOLE
    assert figures["50"].low <= 10 < figures["50"].high  # 1 + 2/3 of 3 patients
    assert figures["75"].low <= 1000 < figures["75"].high


def test_a_patient_is_free_of_tumour_only_if_every_scan_is() -> None:
    clear, tumour = scan(sides_mm=()), scan()
    figures = finish_statistics(summed([[clear, clear], [clear, tumour], [tumour], [clear]]), STUDY.task)
    assert figures.labelled is not None
    assert (figures.labelled.tumour_free, figures.labelled.share_tumour_free) == (2, 0.5)
    assert figures.labelled.volumes["tumour"].share_without == pytest.approx(2.5 / 4, abs=1e-5)


def test_labels_of_some_patients_are_left_out_for_they_may_be_too_few() -> None:
    sums = summed([[scan()], [scan(), scan(label=False)], [scan()]])
    assert (int(sums["patients"]), int(sums["labelled"])) == (3, 0)
    assert not any(sums[name].any() for name in ("volume_ml", "findings", "labelled_intensity"))
    figures = finish_statistics(sums, STUDY.task)
    assert (figures.labelled, figures.labelled_patients) == (None, 0)
    check_statistics(sums, patients=3)


def test_a_class_of_a_thousandth_of_the_voxels_has_that_share() -> None:
    figures = finish_statistics(summed([[scan(share=0.001)], [scan(share=0.003)]]), STUDY.task)
    assert figures.labelled is not None
    assert figures.labelled.class_share["tumour"] == pytest.approx(0.002, abs=1e-6)
    assert sum(figures.labelled.class_share.values()) == pytest.approx(1, abs=1e-12)


WRONG = {
    "another number of patients": {"patients": np.array(3)},
    "labels of some": {"labelled": np.array(1)},
    "more without a tumour than labelled": {"tumour_free": np.array(3)},
    "a patient too heavy": {"findings": np.eye(1, 21, dtype=np.int64)[0] * 3 * WHOLE},
    "nothing of the image": {"spacing_mm": np.zeros((3, 257), np.int64)},
    "part of a patient": {"labelled_intensity": np.eye(1, 515, dtype=np.int64) * (WHOLE + 1)},
    "floats": {"class_share": np.array([WHOLE, WHOLE], np.float64)},
}


@pytest.mark.parametrize("how", WRONG)
def test_sums_that_no_site_can_have_are_refused(how: str) -> None:
    sums = summed([[scan()], [scan()]])
    with pytest.raises(WireError):
        check_statistics(Sums({**sums.values, **WRONG[how]}), patients=2)
