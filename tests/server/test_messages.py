"""One exchange with many sites: in arrival order, one reply at a time, until the deadline."""

import weakref
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects

from client.gate import Released
from client.messages import reply_to
from server import messages
from server.arrivals import TOO_LARGE_CODE, UNREADABLE_CODE
from server.messages import LONGEST_POLL_S, Reply, content_of, exchange
from shared.packing import record_at
from shared.wire import Record
from tests.server.clock import Clock
from tests.server.fake_sites import FakeGrid, FakeSite, hospitals, silent, update

TRAIN = Record("train", {"run": "r", "study_digest": "d", "round": 1}, {"w": np.zeros(1000, np.float32)})
CLOCK = Clock()


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "time", CLOCK)


def asked(grid: FakeGrid, deadline_s: float = 5.0) -> list[Reply]:
    return list(exchange(grid, dict.fromkeys(grid.get_node_ids(), (TRAIN,)), deadline_s=deadline_s))


def record_of(reply: Reply) -> Record:
    (record,) = reply.records
    assert record is not None
    return record


def test_every_node_is_asked_and_its_answer_arrives_unchanged() -> None:
    sites = hospitals("a", "b", "c")
    replies = asked(FakeGrid(sites))
    assert sorted(reply.node for reply in replies) == [1, 2, 3]
    for reply in replies:
        assert record_of(reply).fields["site"] == sites[reply.node - 1].name
        assert np.array_equal(record_of(reply).arrays["w"], np.full(1000, 0.01, np.float32))
        assert sites[reply.node - 1].asked[0].fields == TRAIN.fields


def test_nothing_is_pulled_before_the_reply_before_it_was_used() -> None:
    grid = FakeGrid(hospitals(*"abcdef"), at_once=1)
    for used, _ in enumerate(exchange(grid, dict.fromkeys(range(1, 7), (TRAIN,)), deadline_s=5), start=1):
        assert grid.answered == used


@pytest.mark.parametrize("at_once", [1, 100], ids=["one by one", "all at once"])
def test_a_reply_that_was_used_is_let_go(at_once: int) -> None:
    grid = FakeGrid(hospitals(*"abcdef"), at_once=at_once)
    seen: list[weakref.ref[np.ndarray]] = []
    for reply in exchange(grid, dict.fromkeys(range(1, 7), (TRAIN,)), deadline_s=5):
        assert [ref for ref in seen[:-1] if ref() is not None] == []
        seen.append(weakref.ref(record_of(reply).arrays["w"]))
    assert len(seen) == 6


def test_whoever_is_silent_yields_nothing_and_the_deadline_holds() -> None:
    grid = FakeGrid(hospitals("a", "b", "c", b={"train": silent}))
    started = CLOCK.monotonic()
    replies = asked(grid, deadline_s=60)
    assert sorted(reply.node for reply in replies) == [1, 3]
    assert 60 <= CLOCK.monotonic() - started <= 60 + 2 * LONGEST_POLL_S


def test_nobody_is_late_because_the_coordinator_was_busy() -> None:
    grid = FakeGrid(hospitals("a", "b"), at_once=1)
    replies = exchange(grid, dict.fromkeys((1, 2), (TRAIN,)), deadline_s=60)
    first = next(replies)
    CLOCK.sleep(90)  # it aggregates what came, and the other answers meanwhile
    assert {first.node, *(reply.node for reply in replies)} == {1, 2}


def test_an_answer_to_another_message_is_not_taken_for_this_one() -> None:
    sites = hospitals("a")
    grid = FakeGrid(sites)
    old = exchange(grid, {1: [TRAIN]}, deadline_s=5)
    next(old)

    def late_and_new(site: FakeSite, record: Record) -> Record:
        return update(site, record, value=0.5)

    sites[0].instead["train"] = late_and_new
    (reply,) = asked(grid)
    assert record_of(reply).arrays["w"][0] == 0.5


def test_instructions_of_one_message_are_answered_in_order() -> None:
    sites = hospitals("a", "b")
    evaluate = Record(
        "evaluate", {"study_digest": "d", "round": 1, "split": "test", "final": True}, TRAIN.arrays
    )
    for reply in exchange(FakeGrid(sites), dict.fromkeys((1, 2), (evaluate, TRAIN)), deadline_s=5):
        assert [record.kind for record in reply.records if record] == ["segmentation", "update"]
    assert [record.kind for record in sites[0].asked] == ["evaluate", "train"]


def test_arrays_that_two_instructions_share_are_sent_once() -> None:
    evaluate = Record(
        "evaluate", {"study_digest": "d", "round": 1, "split": "test", "final": True}, TRAIN.arrays
    )
    one, both = content_of([TRAIN]), content_of([evaluate, TRAIN])
    size, both_size = (sum(len(o.deflate()) for o in get_all_nested_objects(c).values()) for c in (one, both))
    assert both_size < size + 1000
    # Flower moves each object with a request of its own: the content and, for each record, one part.
    assert (len(get_all_nested_objects(one)), len(get_all_nested_objects(both))) == (2, 3)


def test_instructions_for_many_are_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[object] = []

    def noted(records: Sequence[Record], packed: dict[int, list[bytes]] | None = None) -> RecordDict:
        written.append(records)
        return content_of(records, packed)

    monkeypatch.setattr(messages, "content_of", noted)
    assert len(asked(FakeGrid(hospitals(*"abcdef")))) == 6
    assert len(written) == 1


def test_arrays_that_go_to_many_with_other_words_are_packed_once() -> None:
    packed: dict[int, list[bytes]] = {}
    others = [Record(TRAIN.kind, {**TRAIN.fields, "run": run}, TRAIN.arrays) for run in "abc"]
    contents = [content_of([record], packed) for record in others]
    assert len(packed) == 1
    first, *rest = (content.config_records["0"]["arrays"] for content in contents)
    assert all(one is first for one in rest)
    assert [dict(record_at(c.config_records, 0).fields) for c in contents] == [dict(r.fields) for r in others]


def test_one_record_that_cannot_be_read_does_not_spoil_the_others() -> None:
    def half_broken(site: FakeSite, record: Record) -> RecordDict:
        good = reply_to(_incoming(), [Released(update(site, record)), Released(update(site, record))]).content
        good["0"] = ConfigRecord({"version": 1})
        return good

    (reply,) = asked(FakeGrid(hospitals("a", a={"train": half_broken})))
    assert reply.reason is None
    assert reply.records[0] is None
    assert reply.records[1] is not None


def test_a_node_that_is_not_there_is_offline_at_once() -> None:
    def gone(site: FakeSite, record: Record) -> Error:
        return Error(5)

    started = CLOCK.monotonic()
    (reply,) = asked(FakeGrid(hospitals("a", a={"train": gone})))
    assert (reply.reason, reply.records) == ("offline", ())
    assert CLOCK.monotonic() == started


def test_a_node_that_flower_no_longer_knows_is_offline_too() -> None:
    class Removed(FakeGrid):
        def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
            return [str(identity or "") for identity in self._ids(list(messages))]

        def _ids(self, messages: list[Message]) -> Iterator[str | None]:
            for message, identity in zip(messages, super().push_messages(messages), strict=True):
                yield identity if message.metadata.dst_node_id == 1 else None

    replies = asked(Removed(hospitals("a", "b")))
    assert {reply.node: reply.reason for reply in replies} == {1: None, 2: "offline"}


def _incoming() -> Message:
    message = Message(content_of([TRAIN]), 1, "query")
    message.metadata.__dict__["_message_id"] = "instruction"
    return message


@pytest.mark.parametrize(
    ("code", "reason"), [(UNREADABLE_CODE, "wire"), (TOO_LARGE_CODE, "too_large"), (2, "flower.2")]
)
def test_a_reply_that_is_not_taken_has_its_reason(code: int, reason: str) -> None:
    grid = FakeGrid(hospitals("a", a={"train": lambda site, record: Error(code)}))
    (reply,) = asked(grid)
    assert (reply.records, reply.reason) == ((), reason)
