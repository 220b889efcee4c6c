"""What the order saved, against a slow oracle that reads the scans one by one."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.worklist import Waited
from client.worklist.saved import FEWEST, saved
from tests.client.worklist.scans import HOUR, START

NOW = START + 24 * HOUR
MINUTE = timedelta(minutes=1)


@st.composite
def days(draw: st.DrawFn) -> list[Waited]:
    """Scans of a day; of those taken, each after it came."""
    scans = []
    for _ in range(draw(st.integers(0, 30))):
        came = START + MINUTE * draw(st.integers(0, 1000))
        wait = draw(st.none() | st.integers(0, 400))
        taken = None if wait is None else came + MINUTE * wait
        scans.append(Waited(came, taken, draw(st.booleans())))
    return scans


def one_by_one(scans: list[Waited]) -> tuple[float, float]:
    """Seconds that scans above routine and the others would wait if each reader took the first that came."""
    left = sorted(scans, key=lambda one: (one.came, not one.raised))
    waits = {True: 0.0, False: 0.0}
    for taken in sorted(one.taken for one in scans if one.taken):
        first = next(one for one in left if one.came <= taken)
        left.remove(first)
        waits[first.raised] += (taken - first.came).total_seconds()
    for one in left:
        waits[one.raised] += (NOW - one.came).total_seconds()
    return waits[True], waits[False]


@settings(deadline=None)
@given(days())
def test_it_is_what_reading_in_the_order_of_arrival_comes_to(scans: list[Waited]) -> None:
    found = saved(scans, NOW)
    assert (found.taken, found.raised + found.others) == (
        sum(one.taken is not None for one in scans),
        len(scans),
    )
    if found.raised_less_s is None or found.others_more_s is None:
        assert min(found.raised, found.others) < FEWEST or found.taken < 2 * FEWEST
        return
    waited = {True: 0.0, False: 0.0}
    for one in scans:
        waited[one.raised] += ((one.taken or NOW) - one.came).total_seconds()
    raised, others = one_by_one(scans)
    assert found.raised_less_s * found.raised == pytest.approx(raised - waited[True], abs=1e-3)
    assert found.others_more_s * found.others == pytest.approx(waited[False] - others, abs=1e-3)


@settings(deadline=None)
@given(days())
def test_what_the_urgent_gain_the_others_lose(scans: list[Waited]) -> None:
    found = saved(scans, NOW)
    if found.raised_less_s is not None and found.others_more_s is not None:
        gained, lost = found.raised_less_s * found.raised, found.others_more_s * found.others
        assert gained == pytest.approx(lost, abs=1e-3)


def test_urgent_scans_that_came_last_and_were_read_first_gain_what_the_line_was_long() -> None:
    late = [Waited(START + HOUR, START + HOUR + k * MINUTE, raised=True) for k in range(5)]
    early = [Waited(START, START + HOUR + (5 + k) * MINUTE, raised=False) for k in range(5)]
    found = saved([*late, *early], NOW)
    assert (found.raised_less_s, found.others_more_s) == (300.0, 300.0)


def test_reading_in_the_order_of_arrival_saves_nothing() -> None:
    scans = [Waited(START + k * MINUTE, START + HOUR + k * MINUTE, raised=k % 2 == 0) for k in range(20)]
    found = saved(scans, NOW)
    assert (found.raised_less_s, found.others_more_s) == (0.0, 0.0)
