"""One exchange with many sites: in arrival order, one reply at a time, until the deadline."""

import time
import weakref

import numpy as np
import pytest

from server.messages import ACTIONS, Reply, exchange
from shared.wire import RECORDS, Record
from tests.server.fake_sites import FakeGrid, FakeSite, hospitals, silent, update

TRAIN = Record("train", {"run": "r", "study_digest": "d", "round": 1}, {"w": np.zeros(1000, np.float32)})


def asked(grid: FakeGrid, deadline_s: float = 5.0) -> list[Reply]:
    return list(exchange(grid, dict.fromkeys(grid.get_node_ids(), TRAIN), deadline_s=deadline_s))


def test_every_instruction_has_an_action_and_no_answer_has() -> None:
    assert set(ACTIONS) == {kind for kind, spec in RECORDS.items() if not spec.leaves_site}


def test_every_node_is_asked_and_its_answer_arrives_unchanged() -> None:
    sites = hospitals("a", "b", "c")
    replies = asked(FakeGrid(sites))
    assert sorted(reply.node for reply in replies) == [1, 2, 3]
    for reply in replies:
        assert reply.record is not None
        assert reply.record.fields["site"] == sites[reply.node - 1].name
        assert np.array_equal(reply.record.arrays["w"], np.full(1000, 0.01, np.float32))
        assert sites[reply.node - 1].asked[0].fields == TRAIN.fields


def test_nothing_is_pulled_before_the_reply_before_it_was_used() -> None:
    grid = FakeGrid(hospitals(*"abcdef"), at_once=1)
    for used, _ in enumerate(exchange(grid, dict.fromkeys(range(1, 7), TRAIN), deadline_s=5), start=1):
        assert grid.answered == used


@pytest.mark.parametrize("at_once", [1, 100], ids=["one by one", "all at once"])
def test_a_reply_that_was_used_is_let_go(at_once: int) -> None:
    grid = FakeGrid(hospitals(*"abcdef"), at_once=at_once)
    seen: list[weakref.ref[np.ndarray]] = []
    for reply in exchange(grid, dict.fromkeys(range(1, 7), TRAIN), deadline_s=5):
        assert [ref for ref in seen[:-1] if ref() is not None] == []
        assert reply.record is not None
        seen.append(weakref.ref(reply.record.arrays["w"]))
    assert len(seen) == 6


def test_whoever_is_silent_yields_nothing_and_the_deadline_holds() -> None:
    grid = FakeGrid(hospitals("a", "b", "c", b={"train": silent}))
    started = time.monotonic()
    replies = asked(grid, deadline_s=0.2)
    assert sorted(reply.node for reply in replies) == [1, 3]
    assert 0.2 <= time.monotonic() - started < 1.5


def test_an_answer_to_another_message_is_not_taken_for_this_one() -> None:
    sites = hospitals("a")
    grid = FakeGrid(sites)
    old = exchange(grid, {1: TRAIN}, deadline_s=5)
    next(old)

    def late_and_new(site: FakeSite, record: Record) -> Record:
        return update(site, record, value=0.5)

    sites[0].instead["train"] = late_and_new
    (reply,) = asked(grid)
    assert reply.record is not None
    assert reply.record.arrays["w"][0] == 0.5
