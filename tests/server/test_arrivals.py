"""Replies that arrive in pieces: nobody is waited for, and nothing that a site sends ends a run."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree, PullObjectRequest
from flwr.proto.message_pb2 import PullObjectResponse as Pulled
from flwr.proto.runtime_pb2 import PullAppMessagesRequest, PullAppMessagesResponse
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.task_identity import TaskIdentity

from server import arrivals as arrivals_module
from server.arrivals import AT_ONCE, TOO_LARGE_CODE, UNREADABLE_CODE, Arrivals

RUN = 7


@dataclass
class SuperLink:
    """Stands in for the runtime API: what is announced, and of that, what has arrived."""

    announced: list[tuple[Message, ObjectTree]] = field(default_factory=list)
    arrived: dict[str, bytes] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    asked: list[set[str]] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    pulled: list[str] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)

    def PullMessages(self, request: PullAppMessagesRequest) -> PullAppMessagesResponse:  # noqa: N802 - Flower's
        self.asked.append(set(request.message_ids))
        found, self.announced = self.announced, []
        return PullAppMessagesResponse(
            messages_list=[message_to_proto(message) for message, _ in found],
            message_object_trees=[tree for _, tree in found],
        )

    def PullObject(self, request: PullObjectRequest) -> Pulled:  # noqa: N802 - Flower's
        if request.object_id in self.gone:
            return Pulled(object_found=False, object_available=False)
        content = self.arrived.get(request.object_id, b"")
        self.tried.append(request.object_id)
        self.pulled += [request.object_id] if content else []
        return Pulled(object_found=True, object_available=bool(content), object_content=content)

    def ConfirmMessageReceived(self, request: ConfirmMessageReceivedRequest) -> None:  # noqa: N802 - Flower's
        self.confirmed.append(request.message_object_id)


@pytest.fixture(autouse=True)
def _identity() -> Iterator[None]:
    """Flower keeps who a process is in a class; these tests must not leave anything there."""
    names = ("_run_id", "_node_id", "_task_id")
    before = {name: getattr(TaskIdentity, name) for name in names}
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1
    yield
    for name, value in before.items():
        setattr(TaskIdentity, name, value)


def reply_to(message_id: str, text: str) -> tuple[Message, ObjectTree, dict[str, bytes]]:
    """A reply, the tree that announces it, and its objects."""
    asked = Message(RecordDict(), 5, "query")
    asked.metadata.__dict__["_message_id"] = message_id
    reply = Message(RecordDict({"0.fields": ConfigRecord({"text": text})}), reply_to=asked)
    reply.metadata.__dict__["_message_id"] = reply.object_id
    objects = {key: part.deflate() for key, part in get_all_nested_objects(reply).items()}
    head = Message(RecordDict(), reply_to=asked)
    head.metadata.__dict__["_message_id"] = reply.object_id
    return head, get_object_tree(reply), objects


def text_of(message: Message) -> object:
    return message.content.config_records["0.fields"]["text"]


def arrivals(superlink: SuperLink, *, max_bytes: int = 2**20) -> Arrivals:
    return Arrivals(superlink, RUN, max_bytes=max_bytes)  # type: ignore[arg-type]


def announce(superlink: SuperLink, names: list[str], *, halfway: bool) -> dict[str, dict[str, bytes]]:
    """Announce a reply to each; of a half-arrived one, all but one part is there. Return those parts."""
    lacking = {}
    for name in names:
        head, tree, parts = reply_to(name, f"from {name}")
        superlink.announced.append((head, tree))
        superlink.arrived |= parts
        if halfway:
            lacking[name] = {tree.children[0].object_id: superlink.arrived.pop(tree.children[0].object_id)}
    return lacking


def held(taking: Arrivals) -> int:
    """Replies whose bytes are held between two looks."""
    return sum(bool(reply.contents) for reply in taking._announced.values())


def test_a_reply_that_stops_halfway_holds_nobody_up_and_is_taken_once_it_is_whole() -> None:
    superlink = SuperLink()
    slow, slow_tree, slow_parts = reply_to("to-slow", "slow")
    fast, fast_tree, fast_parts = reply_to("to-fast", "fast")
    superlink.announced = [(slow, slow_tree), (fast, fast_tree)]
    missing = sorted(slow_parts)[0]
    superlink.arrived = {**slow_parts, **fast_parts}
    del superlink.arrived[missing]
    taking = arrivals(superlink)
    assert [text_of(m) for m in taking.take(["to-slow", "to-fast"])] == ["fast"]
    assert taking.take(["to-slow"]) == []
    assert superlink.asked == [{"to-slow", "to-fast"}]  # asked again, Flower would call it lost
    superlink.arrived[missing] = slow_parts[missing]
    (found,) = taking.take(["to-slow"])
    assert text_of(found) == "slow"
    assert found.metadata.reply_to_message_id == "to-slow"
    assert len(superlink.pulled) == len(set(superlink.pulled))  # what has come is not fetched twice
    assert len(superlink.confirmed) == 2


def test_a_reply_whose_parts_are_gone_is_one_that_cannot_be_had() -> None:
    superlink = SuperLink()
    head, tree, parts = reply_to("to-a", "a")
    superlink.announced = [(head, tree)]
    superlink.gone = set(parts)
    (found,) = arrivals(superlink).take(["to-a"])
    assert found.error.code == ErrorCode.MESSAGE_UNAVAILABLE
    assert found.metadata.reply_to_message_id == "to-a"


def test_a_tree_that_hides_a_part_spoils_that_reply_only() -> None:
    superlink = SuperLink()
    head, tree, parts = reply_to("to-evil", "evil")
    other, other_tree, other_parts = reply_to("to-good", "good")
    cut = ObjectTree(object_id=tree.object_id)  # the message, and none of what it says it holds
    superlink.announced = [(head, cut), (other, other_tree)]
    superlink.arrived = {**parts, **other_parts}
    found = {m.metadata.reply_to_message_id: m for m in arrivals(superlink).take(["to-evil", "to-good"])}
    assert found["to-evil"].error.code == UNREADABLE_CODE
    assert text_of(found["to-good"]) == "good"


def test_a_late_reply_is_forgotten_with_all_that_came_of_it() -> None:
    superlink = SuperLink()
    head, tree, parts = reply_to("to-late", "late")
    superlink.announced = [(head, tree)]
    superlink.arrived = dict(list(parts.items())[:1])
    taking = arrivals(superlink)
    assert taking.take(["to-late"]) == []
    assert taking.take(["of-the-next-round"]) == []
    superlink.arrived = parts
    assert taking.take(["of-the-next-round"]) == []
    assert taking._announced == {}


def test_a_reply_that_is_too_large_altogether_is_let_go_in_the_middle_and_not_fetched_again() -> None:
    superlink = SuperLink()
    small, small_tree, small_parts = reply_to("to-small", "x")
    large, large_tree, large_parts = reply_to("to-large", "x" * 5000)
    superlink.announced = [(large, large_tree), (small, small_tree)]
    superlink.arrived = {**large_parts, **small_parts}
    taking = arrivals(superlink, max_bytes=4000)
    found = {m.metadata.reply_to_message_id: m for m in taking.take(["to-small", "to-large"])}
    assert found["to-large"].error.code == TOO_LARGE_CODE
    assert text_of(found["to-small"]) == "x"
    assert taking._announced == {}
    assert len(superlink.confirmed) == 2  # Flower may delete both
    assert len(superlink.pulled) == len(set(superlink.pulled))


def test_the_parts_of_a_reply_count_together() -> None:
    for spare, as_expected in ((0, True), (-1, False)):
        superlink = SuperLink()
        head, tree, parts = reply_to("to-a", "a")
        superlink.announced, superlink.arrived = [(head, tree)], parts
        assert len(parts) > 2
        (found,) = arrivals(superlink, max_bytes=sum(map(len, parts.values())) + spare).take(["to-a"])
        assert found.has_content() == as_expected


def test_a_reply_of_too_many_objects_is_not_fetched_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals_module, "MOST_OBJECTS", 2)
    superlink = SuperLink()
    head, tree, superlink.arrived = reply_to("to-a", "a")
    superlink.announced = [(head, tree)]
    (found,) = arrivals(superlink).take(["to-a"])
    assert found.error.code == TOO_LARGE_CODE
    assert superlink.pulled == []


def test_a_look_takes_a_few_replies_and_fetches_no_others() -> None:
    superlink = SuperLink()
    names = [f"to-{n}" for n in range(3 * AT_ONCE - 1)]
    announce(superlink, names, halfway=False)
    each = len(superlink.arrived) // len(names)
    taking = arrivals(superlink)
    left, sizes = set(names), []
    while left:
        found = taking.take(left)
        left -= {m.metadata.reply_to_message_id for m in found}
        sizes.append(len(found))
        assert len(superlink.pulled) == each * (len(names) - len(left))
        assert held(taking) == 0
    assert sizes == [AT_ONCE, AT_ONCE, AT_ONCE - 1]


def test_of_many_half_arrived_replies_few_are_held_nobody_waits_and_each_comes_once_it_is_whole() -> None:
    superlink = SuperLink()
    slow, fast = [f"to-slow-{n}" for n in range(3 * AT_ONCE)], [f"to-fast-{n}" for n in range(AT_ONCE)]
    lacking = announce(superlink, slow, halfway=True)
    announce(superlink, fast, halfway=False)
    taking = arrivals(superlink)
    found = taking.take([*slow, *fast])
    assert sorted(m.metadata.reply_to_message_id for m in found) == fast
    assert held(taking) == AT_ONCE
    superlink.pulled.clear()
    superlink.tried.clear()
    assert taking.take(slow) == []
    assert superlink.pulled == []  # looking again costs one question each, and no bytes
    assert len(superlink.tried) == len(slow)
    for name in reversed(slow):
        superlink.arrived |= lacking[name]
        (one,) = taking.take(slow)
        assert text_of(one) == f"from {name}"
        assert held(taking) <= AT_ONCE
        slow.remove(name)
