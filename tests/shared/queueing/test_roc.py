import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigError
from shared.queueing.classes import Reading, Triage
from shared.queueing.expected import expected
from shared.queueing.roc import along, tiered

DISEASED, OTHERS = (1, 2, 3, 4), (8, 4, 2, 1)


def test_each_threshold_is_its_operating_point() -> None:
    curve = along(DISEASED, OTHERS, Reading())
    assert [p.bin for p in curve.points] == [0, 1, 2, 3, 4]
    assert [p.sensitivity for p in curve.points] == pytest.approx([1, 0.9, 0.7, 0.4, 0])
    assert [p.specificity for p in curve.points] == pytest.approx([0, 8 / 15, 12 / 15, 14 / 15, 1])
    point = curve.points[2]
    triage = Triage.at(prevalence=0.4, sensitivity=0.7, specificity=0.8)
    found = expected(triage, Reading())
    assert curve.first_come == pytest.approx(40)
    assert point.diseased == pytest.approx(40 - found.diseased)
    assert point.others == pytest.approx(found.others - 40)
    assert point.missed == pytest.approx(found.missed - 40)


def test_all_first_or_none_first_saves_nothing() -> None:
    first, *_, last = along(DISEASED, OTHERS, Reading(interrupting=True)).points
    assert first.missed is None
    for point in (first, last):
        assert (point.diseased, point.others) == pytest.approx((0, 0), abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=12))
def test_the_best_saves_most_and_the_prevalence_may_be_another(counts: list[tuple[int, int]]) -> None:
    diseased, others = zip(*[*counts, (1, 1)], strict=True)
    curve = along(diseased, others, Reading(), prevalence=0.05)
    assert curve.best.diseased == pytest.approx(max(p.diseased for p in curve.points))
    for p in curve.points:  # nothing is made: 5 % save what 95 % lose
        assert 0.05 * p.diseased == pytest.approx(0.95 * p.others, abs=1e-9)


def test_bounds_cut_tiers() -> None:
    triage = tiered(DISEASED, OTHERS, [3, 1])
    assert triage.diseased == pytest.approx((0.4, 0.5, 0.1))
    assert triage.others == pytest.approx((1 / 15, 6 / 15, 8 / 15))
    assert triage.prevalence == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("diseased", "others", "message"),
    [
        ([1, 2], [1, 2, 3], "shapes"),
        ([[1]], [[1]], "shapes"),
        ([0, 0], [1, 2], "at least one"),
        ([1, -1], [1, 2], "expected counts"),
        ([0.5, 1], [1, 2], "expected counts"),
    ],
)
def test_what_are_no_histograms_is_refused(diseased: object, others: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        along(diseased, others, Reading())  # type: ignore[arg-type]


def test_bounds_out_of_order_are_refused() -> None:
    with pytest.raises(ConfigError, match="highest first"):
        tiered(DISEASED, OTHERS, [1, 3])


def test_a_sharper_score_saves_more() -> None:
    generator = np.random.default_rng(5)
    saved = []
    for distance in (0.5, 2.0):
        others = np.histogram(generator.normal(0, 1, 2000), 40, (-4, 6))[0]
        diseased = np.histogram(generator.normal(distance, 1, 200), 40, (-4, 6))[0]
        saved.append(along(diseased, others, Reading()).best.diseased)
    assert saved[0] < saved[1]
