"""The laws of the order, and a slow telling of the promotion beside it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from client.worklist.order import TIERS, Scan, entered, in_order, place, rank_of
from client.worklist_settings import LongestWait
from shared.priority import Tier

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
NO_LIMIT = LongestWait(routine=None, urgent=None, asap=None)
DEFAULT = LongestWait()

minutes = st.integers(0, 8 * 24 * 60).map(lambda m: START + timedelta(minutes=m))
tiers = st.sampled_from(TIERS)
limit = st.none() | st.integers(1, 100).map(float)
limits = st.builds(LongestWait, routine=limit, urgent=limit, asap=limit)


@st.composite
def scans(draw: st.DrawFn, case: st.SearchStrategy[str] = st.just("a")) -> Scan:  # noqa: B008
    """A scan as the worklist keeps them: nobody puts one anywhere before it came."""
    came = draw(minutes)
    model, ordered, before = draw(st.none() | tiers), draw(st.none() | tiers), draw(tiers)
    put = max(rank_of(model), rank_of(ordered), rank_of(before))
    since: list[datetime | None] = [None, None, None]
    last = came
    for k in range(put):
        last = since[k] = last + timedelta(minutes=draw(st.integers(0, 3000)))
    probability = draw(st.none() if model is None else st.floats(0, 1))
    return Scan(draw(case), came, (since[0], since[1], since[2]), model, ordered, probability)


lists = st.lists(
    scans(case=st.text("abcdefgh", min_size=1, max_size=3)), max_size=12, unique_by=lambda scan: scan.case
)


def told_slowly(scan: Scan, longest: LongestWait, now: datetime) -> Tier:
    """Minute by minute: who put it there, and how long it has been in the tier it is in."""
    tier, arrived, minute = 0, scan.came, scan.came
    limits = (longest.routine, longest.urgent, longest.asap, None)
    while minute <= now:
        limit_h = limits[tier]
        if limit_h is not None and minute - arrived >= timedelta(hours=limit_h):
            tier, arrived = tier + 1, minute
            continue
        put = max((k for k, since in enumerate(scan.since, 1) if since and since <= minute), default=0)
        if put > tier:
            tier, arrived = put, minute
            continue
        minute += timedelta(minutes=1)
    return TIERS[tier]


@given(scan=scans(), longest=limits, later=st.integers(0, 9000))
def test_a_place_is_what_a_clerk_would_find_minute_by_minute(
    scan: Scan, longest: LongestWait, later: int
) -> None:
    now = max([scan.came, *(since for since in scan.since if since)]) + timedelta(minutes=later)
    assert place(scan, longest, now).tier == told_slowly(scan, longest, now)


@given(scan=scans(), longest=limits, now=minutes, later=minutes)
def test_the_tier_of_a_waiting_scan_never_falls(
    scan: Scan, longest: LongestWait, now: datetime, later: datetime
) -> None:
    assume(now <= later)
    first, second = place(scan, longest, now), place(scan, longest, later)
    assert rank_of(first.tier) <= rank_of(second.tier)
    assert rank_of(first.tier) >= max(rank_of(scan.model), rank_of(scan.ordered))


@given(found=lists, longest=limits, now=minutes)
def test_every_scan_has_one_place_whatever_the_list_came_in(
    found: list[Scan], longest: LongestWait, now: datetime
) -> None:
    ordered = in_order(found, longest, now)
    assert sorted(scan.case for scan, _ in ordered) == sorted(scan.case for scan in found)
    assert in_order(found[::-1], longest, now) == ordered
    ranks = [rank_of(at.tier) for _, at in ordered]
    assert ranks == sorted(ranks, reverse=True)


@given(found=lists, longest=limits, now=minutes)
def test_a_clinicians_stat_stands_above_all_that_is_not(
    found: list[Scan], longest: LongestWait, now: datetime
) -> None:
    called = [scan.ordered == "stat" for scan, _ in in_order(found, longest, now)]
    assert called == sorted(called, reverse=True)


@given(found=lists, longest=limits, now=minutes, since=minutes)
def test_a_higher_tier_for_one_scan_moves_no_other_scan_past_it(
    found: list[Scan], longest: LongestWait, now: datetime, since: datetime
) -> None:
    assume(found and found[0].since[2] is None)
    raised = Scan(found[0].case, found[0].came, (since, since, since), "stat", found[0].ordered, 1.0)
    assert rank_of(place(raised, longest, now).tier) >= rank_of(place(found[0], longest, now).tier)


@pytest.mark.parametrize(
    ("hours", "tier", "why"),
    [
        (0, "routine", "model"),
        (71.9, "routine", "model"),
        (72, "urgent", "waited"),
        (96, "asap", "waited"),
        (100, "stat", "waited"),
    ],
)
def test_a_routine_scan_moves_up_after_72_24_and_4_hours(hours: float, tier: str, why: str) -> None:
    found = place(Scan("a", START, model="routine"), DEFAULT, START + timedelta(hours=hours))
    assert (found.tier, found.why) == (tier, why)


def test_without_a_limit_no_wait_is_too_long() -> None:
    scan = Scan("a", START, model="routine")
    assert place(scan, NO_LIMIT, START + timedelta(days=999)).tier == "routine"
    assert entered(scan, LongestWait(urgent=None))[2:] == [None, None]


def test_a_clock_that_is_ahead_lowers_nothing() -> None:
    ahead = START + timedelta(hours=3)
    assert place(Scan("a", ahead, (ahead, ahead, ahead), "stat"), DEFAULT, START).tier == "stat"


def test_within_a_tier_the_hour_then_the_probability_then_the_name_decide() -> None:
    later = START + timedelta(minutes=50)
    next_hour = START + timedelta(minutes=65)
    found = [
        Scan("sure but an hour later", next_hour, model="routine", probability=0.2),
        Scan("b", START, model="routine", probability=0.1),
        Scan("a", later, model="routine", probability=0.1),
        Scan("surer, the same hour", later, model="routine", probability=0.15),
    ]
    names = [scan.case for scan, _ in in_order(found, DEFAULT, next_hour)]
    assert names == ["surer, the same hour", "a", "b", "sure but an hour later"]


def test_a_stat_that_a_clinician_called_comes_before_an_older_one_of_the_model() -> None:
    found = [
        Scan("model", START, (START, START, START), "stat", None, 0.99),
        Scan("called", START + timedelta(hours=5), (START, START, START), "routine", "stat", 0.01),
    ]
    assert [scan.case for scan, _ in in_order(found, DEFAULT, START + timedelta(hours=6))] == [
        "called",
        "model",
    ]


def test_why_a_scan_is_where_it_is() -> None:
    now = START + timedelta(hours=1)
    there = (START, START, None)
    assert place(Scan("a", START, there, "asap"), DEFAULT, now).why == "model"
    assert place(Scan("a", START, there, "routine", "asap"), DEFAULT, now).why == "ordered"
    assert place(Scan("a", START, there, "urgent"), DEFAULT, now).why == "held"
