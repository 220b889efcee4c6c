from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.queueing.hours import Hours
from shared.queueing.simulate import Room, waits

DOORS = Hours(((60.0, 100.0), (130.0, 10080.0)))


def waited(arrive: Sequence[float], minutes: Sequence[float], tier: list[int], room: Room) -> list[float]:
    found = waits(np.array(arrive, float), np.array(minutes, float), np.array(tier, int), room)
    return [float(wait) for wait in found]


def test_a_reading_is_finished_before_a_higher_tier() -> None:
    assert waited([0, 1, 2], [10, 10, 10], [1, 1, 0], Room(1, (0, 0))) == [0, 19, 8]


def test_or_it_is_interrupted_and_goes_on_later() -> None:
    assert waited([0, 1, 2], [10, 10, 10], [1, 1, 0], Room(1, (0, 1))) == [10, 19, 0]


def test_an_interrupted_reading_goes_on_before_another_of_its_band() -> None:
    # an emergency interrupts the third tier's reading; the second tier's scan still waits for its end
    assert waited([0, 1, 2], [10, 10, 10], [2, 0, 1], Room(1, (0, 1, 1))) == [10, 0, 18]


def test_after_the_longest_wait_a_scan_moves_up_and_goes_by_when_it_did() -> None:
    arrive, minutes, tier = [0, 1, 5, 7, 9.5], [10, 10, 10, 10, 10], [0, 1, 0, 0, 0]
    assert waited(arrive, minutes, tier, Room(1, (0, 0))) == [0, 39, 5, 13, 20.5]
    limited = Room(1, (0, 0), longest_minutes=(None, 8))  # it moves at 9: behind those of 5 and 7
    assert waited(arrive, minutes, tier, limited) == [0, 29, 5, 13, 30.5]


def test_a_scan_climbs_tier_by_tier() -> None:
    arrive, minutes, tier = [0, 1, 8, 12], [30, 10, 10, 10], [0, 2, 0, 0]
    limited = Room(1, (0, 0, 0), longest_minutes=(None, 5, 5))  # urgent at 6, at the top at 11
    assert waited(arrive, minutes, tier, limited) == [0, 39, 22, 38]


def test_the_top_tier_has_no_limit_and_an_unnamed_one_none() -> None:
    arrive, minutes, tier = [0, 1, 5], [10, 10, 10], [0, 1, 0]
    assert waited(arrive, minutes, tier, Room(1, (0, 0), (1.0,))) == [0, 19, 5]


def test_overnight_scans_are_sorted_when_doors_open() -> None:
    assert waited([5, 110, 120], [10, 10, 10], [1, 1, 0], Room(1, (0, 0), hours=DOORS)) == [55, 30, 10]


def test_closing_time_within_a_reading_is_no_wait() -> None:
    assert waited([95, 96], [10, 10], [0, 0], Room(1, (0,), hours=DOORS)) == [0, 39]


def test_no_scans_wait_nothing() -> None:
    assert waited([], [], [], Room(2, (0, 0))) == []


@given(st.integers(0, 2**32), st.floats(0.3, 0.95))
def test_first_come_first_served_is_lindleys_recursion(seed: int, load: float) -> None:
    generator = np.random.default_rng(seed)
    arrive, minutes = np.cumsum(generator.exponential(1 / load, 60)), generator.exponential(1, 60)
    steps = minutes[:-1] - np.diff(arrive)
    lindley = list(accumulate(steps, lambda wait, step: max(0.0, wait + step), initial=0.0))
    assert waits(arrive, minutes, np.zeros(60, int), Room(1, (0,))) == pytest.approx(lindley, abs=1e-9)


scans = st.lists(
    st.tuples(st.integers(0, 15), st.integers(1, 25), st.integers(0, 2)), min_size=1, max_size=25
)
doors = st.sampled_from([Hours(), DOORS])


@settings(max_examples=200)
@given(scans, st.integers(1, 3), st.sampled_from([(0, 0, 0), (0, 1, 1), (0, 1, 2)]), doors)
def test_it_is_a_reading_room_minute_by_minute(
    drawn: list[tuple[int, int, int]], readers: int, bands: tuple[int, ...], hours: Hours
) -> None:
    same_as_minute_by_minute(drawn, Room(readers, bands, hours=hours))


# Not with interruption: a scan that moved up interrupts when something next happens, not in that minute.
@settings(max_examples=200)
@given(scans, st.integers(1, 2), st.tuples(st.integers(1, 40), st.none() | st.integers(1, 40)), doors)
def test_with_longest_waits_too(
    drawn: list[tuple[int, int, int]], readers: int, longest: tuple[int | None, int | None], hours: Hours
) -> None:
    same_as_minute_by_minute(drawn, Room(readers, (0, 0, 0), (None, *longest), hours))


def same_as_minute_by_minute(drawn: list[tuple[int, int, int]], room: Room) -> None:
    arrive = list(accumulate(gap for gap, _, _ in drawn))
    minutes, tier = [m for _, m, _ in drawn], [t for _, _, t in drawn]
    assert waited(arrive, minutes, tier, room) == pytest.approx(minute_by_minute(arrive, minutes, tier, room))


def when(scan: int, entered: dict[int, tuple[int, int]], start: dict[int, int]) -> tuple[int, int]:
    """Tier and time; an open reading has neither."""
    return (0, 0) if scan in start else entered[scan]


def minute_by_minute(  # noqa: C901 - slow and obvious
    arrive: list[int], minutes: list[int], tier: list[int], room: Room
) -> list[int]:
    left, opened = minutes.copy(), 0
    start: dict[int, int] = {}
    finish: dict[int, int] = {}
    entered = {scan: (tier[scan], arrive[scan]) for scan in range(len(arrive))}
    reading: set[int] = set()
    began: dict[int, int] = {}
    minute = 0
    while len(finish) < len(arrive):
        if any(opens <= minute < closes for opens, closes in room.hours.spans):
            for scan in [s for s in reading if left[s] == 0]:
                finish[scan] = opened
                reading.remove(scan)
            for scan, (place, since) in entered.items():
                while (limit := room.longest(place)) is not None and since + limit <= minute:
                    place, since = place - 1, int(since + limit)  # noqa: PLW2901
                entered[scan] = (place, since)
            there = [s for s in entered if arrive[s] <= minute and s not in finish]
            while waiting := [s for s in there if s not in reading]:
                band = {s: room.bands[entered[s][0]] for s in there}
                best = min(waiting, key=lambda s: (band[s], s not in start, *when(s, entered, start), s))
                if len(reading) == room.readers:
                    worst = max(reading, key=lambda s: (band[s], entered[s][0], left[s], s))
                    if band[worst] <= band[best]:
                        break
                    reading.remove(worst)
                reading.add(best)
                if best not in start:
                    start[best], began[best] = minute, opened
            for scan in reading:
                left[scan] -= 1
            opened += 1
        minute += 1
    return [start[s] - arrive[s] + (finish[s] - began[s] - minutes[s]) for s in range(len(arrive))]
