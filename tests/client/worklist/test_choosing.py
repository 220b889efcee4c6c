"""Pages of the list: together they are the list, and what is counted counts all of it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.worklist import OPEN, READ, READING, STATES, WAITING, Chosen, Waited, Worklist
from client.worklist.choosing import midnight
from tests.client.worklist.scans import HOUR, START, TIERS, result, site_of

NOW = START + 2 * HOUR


@pytest.fixture
def worklist(url: str, tmp_path: Path) -> Iterator[Worklist]:
    """Nine scans, on SQLite and on PostgreSQL: three are read by two readers, two are being read."""
    opened = Worklist.open(site_of(tmp_path, database=url))
    for k in range(9):
        opened.put(result(f"Case_{k}", TIERS[k % 4]), arrived=START + timedelta(minutes=k))
    opened.claim("Case_0", "dr-a", now=START + HOUR)
    opened.claim("Case_1", "dr-b", now=START + HOUR)
    for k, reader in ((2, "dr-a"), (3, "dr-b"), (4, "dr-a")):
        opened.finish(f"Case_{k}", reader, now=START + HOUR + timedelta(minutes=k))
    yield opened
    opened.close()


CHOICES = st.builds(
    Chosen,
    states=st.sampled_from([OPEN, (WAITING,), (READING,), (READ,), STATES]),
    tier=st.none() | st.sampled_from(TIERS),
    reader=st.sampled_from([None, "dr-a", "dr-c"]),
    text=st.sampled_from(["", "case_", "CASE_3", "of case_5", "nobody"]),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worklist]:
    """Forty scans, of which some are read."""
    opened = Worklist.open(site_of(tmp_path_factory.mktemp("whole")))
    for k in range(40):
        opened.put(result(f"case_{k}", TIERS[k * 7 % 4]), arrived=START + timedelta(minutes=k))
    for k in range(0, 40, 5):
        opened.claim(f"case_{k}", "dr-a", now=NOW)
    for k in range(0, 40, 3):
        if k % 5:
            opened.finish(f"case_{k}", "dr-b", now=NOW)
    yield opened
    opened.close()


@settings(max_examples=30, deadline=None)
@given(CHOICES, st.integers(1, 7))
def test_pages_one_after_the_other_are_the_chosen_rows(whole: Worklist, chosen: Chosen, most: int) -> None:
    expected = [
        row
        for row in whole.rows(NOW, states=chosen.states)
        if chosen.tier in {None, row.tier}
        and chosen.reader in {None, row.reader}
        and chosen.text.lower() in f"{row.case}\n{row.patient}".lower()
    ]
    found = []
    for first in range(0, max(1, len(expected)), most):
        page = whole.page(NOW, chosen, first=first, most=most)
        assert (page.first, page.found) == (first, len(expected))
        found += page.rows
    assert found == expected


def test_a_page_that_is_not_there_any_more_is_the_last_one(whole: Worklist) -> None:
    page = whole.page(NOW, Chosen((READ,)), first=1000, most=4)
    assert page.rows == whole.rows(NOW, states=(READ,))[page.first :]
    assert page.rows
    assert page.first + len(page.rows) == page.found


def test_all_is_counted_whatever_is_chosen(worklist: Worklist) -> None:
    page = worklist.page(NOW, Chosen(text="nobody"))
    assert page.rows == []
    assert page.waiting == {"stat": 1, "asap": 1, "urgent": 1, "routine": 1}
    assert (page.reading, page.read, page.read_today) == (2, 3, 3)
    assert page.oldest == START + timedelta(minutes=5)
    assert worklist.page(NOW + 48 * HOUR, Chosen()).read_today == 0
    assert list(page.came.values()) == [0, 0, 0, 0]


def test_what_came_since_is_counted_by_tier_until_it_is_read(worklist: Worklist) -> None:
    seen, _ = worklist.newest()
    worklist.put(result("late", "stat"), arrived=NOW)
    worklist.put(result("later", "stat"), arrived=NOW)
    worklist.put(result("last", None), arrived=NOW)
    assert worklist.page(NOW, Chosen(), after=seen).came == {"stat": 2, "asap": 0, "urgent": 0, "routine": 1}
    worklist.finish("late", "dr-a", now=NOW)
    assert worklist.page(NOW, Chosen(), after=seen).came["stat"] == 1
    assert worklist.page(NOW, Chosen(), after=worklist.newest()[0]).came["stat"] == 0


def test_whatever_happens_is_newer(worklist: Worklist) -> None:
    before = worklist.newest()
    assert worklist.newest() == before
    worklist.put(result("Case_8", "stat", digest="b"))  # another reading: no event, a priority
    read_again = worklist.newest()
    assert read_again > before
    worklist.claim("Case_8", "dr-a")
    assert worklist.newest() > read_again


def test_waits_are_of_scans_taken_since_and_of_those_that_wait(worklist: Worklist) -> None:
    taken = {one.came: one for one in worklist.waited(START + HOUR + timedelta(minutes=3))}
    came = [START + timedelta(minutes=k) for k in range(9)]
    assert sorted(taken) == came[3:]  # 0 to 2 were taken before
    assert taken[came[3]] == Waited(came[3], START + HOUR + timedelta(minutes=3), raised=True)
    assert taken[came[4]] == Waited(came[4], START + HOUR + timedelta(minutes=4), raised=False)
    assert taken[came[5]] == Waited(came[5], None, raised=True)


def test_today_begins_at_midnight_on_the_wall() -> None:
    began = midnight(NOW)
    assert (began.hour, began.minute, began.second) == (0, 0, 0)
    assert timedelta(0) <= NOW - began < timedelta(days=1)
