"""Replies that are announced before all of their bytes are there.

A site first announces a reply and then pushes it object by object. Flower's own grid waits for the missing
objects of one reply for minutes, or two hours where the site keeps its session open, and hears nobody else
meanwhile: one link that breaks halfway would hold up everybody's run. Here nobody waits. What is missing is
asked for again at the next look, and the study's deadline decides.

What is held at once is flat in the number of sites: the bytes of at most `AT_ONCE` replies that are whole
and of as many that are not. A half-arrived reply beyond these is let go and fetched again once the object
that it lacked is there. A reply of more than `max_bytes` altogether, or of too many objects, is never taken.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from flwr.app import Error, Message, Metadata
from flwr.app.message import make_message
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_protobuf_utils import make_pull_object_fn_protobuf
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectUnavailableError,
    inflate_object_from_contents,
)
from flwr.supercore.runtime import RuntimeHttpClient

from server.rounds import TOO_LARGE, UNREADABLE

AT_ONCE = 4
MOST_OBJECTS = 4096
"""Of one reply; one of ours has a handful, and one more for every 4 MB (shared/packing.py)."""

UNREADABLE_CODE, TOO_LARGE_CODE = 9001, 9002
"""Of our own, beside Flower's codes of errors."""
REASONS = {UNREADABLE_CODE: UNREADABLE, TOO_LARGE_CODE: TOO_LARGE}


@dataclass
class _Announced:
    message_id: str
    metadata: Metadata
    objects: list[str]
    awaited: str
    """To be asked for first, as it costs nothing while it is not there: at first what a site pushes last."""
    contents: dict[str, bytes] = field(default_factory=dict)
    held_bytes: int = 0
    error_code: int | None = None
    """Why it will never be whole."""

    @property
    def missing(self) -> list[str]:
        return [part for part in dict.fromkeys((self.awaited, *self.objects)) if part not in self.contents]

    def hold(self, part: str, content: bytes) -> None:
        self.contents[part] = content
        self.held_bytes += len(content)

    def let_go(self) -> None:
        self.contents.clear()
        self.held_bytes = 0


class Arrivals:
    """The replies of one run, on the coordinator's side of `client`; `max_bytes` bounds each of them."""

    def __init__(self, client: RuntimeHttpClient, run_id: int, *, max_bytes: int) -> None:
        self._client = client
        self._run_id = run_id
        self._max_bytes = max_bytes
        self._node = Node(node_id=SUPERLINK_NODE_ID)
        self._pull = make_pull_object_fn_protobuf(client.PullObject, self._node, run_id)
        self._announced: dict[str, _Announced] = {}

    def take(self, message_ids: Iterable[str]) -> list[Message]:
        """Return replies to these messages that are whole, `AT_ONCE` at most; ask again for the others.

        One that is lost, unreadable or too large comes as an error with Flower's code or one of ours. A reply
        to a message that is not asked about any more is forgotten.
        """
        asked = set(message_ids)
        for late in self._announced.keys() - asked:
            del self._announced[late]
        self._look(asked - self._announced.keys())
        taken: list[Message] = []
        for to, reply in list(self._announced.items()):
            if len(taken) == AT_ONCE:
                break
            if self._settled(reply):
                taken.append(self._taken(to))
        return taken

    def _look(self, message_ids: set[str]) -> None:
        """Note what is announced; Flower announces each reply once."""
        if not message_ids:
            return
        found = self._client.PullMessages(PullAppMessagesRequest(message_ids=message_ids))
        for message, tree in zip(found.messages_list, found.message_object_trees, strict=True):
            told = message.metadata
            metadata = Metadata(
                run_id=self._run_id,
                message_id="",
                src_node_id=told.src_node_id,
                dst_node_id=told.dst_node_id,
                reply_to_message_id=told.reply_to_message_id,
                group_id="",
                created_at=told.created_at,
                ttl=told.ttl,
                message_type=told.message_type,
            )
            objects = [part.object_id for part in islice(iterate_object_tree(tree), MOST_OBJECTS + 1)]
            reply = _Announced(told.message_id, metadata, objects, awaited=objects[-1])
            if len(objects) > MOST_OBJECTS:
                reply.error_code = TOO_LARGE_CODE
            self._announced[told.reply_to_message_id] = reply

    def _settled(self, reply: _Announced) -> bool:
        """Fetch what has come since the last look; whether nothing is missing, or it never will be whole."""
        for part in reply.missing if reply.error_code is None else ():
            try:
                content = self._pull(part)
            except ObjectUnavailableError:
                reply.awaited = part
                if sum(bool(other.contents) for other in self._announced.values()) > AT_ONCE:
                    reply.let_go()
                return False
            except ObjectPullError:
                reply.error_code = ErrorCode.MESSAGE_UNAVAILABLE
                break
            if reply.held_bytes + len(content) > self._max_bytes:
                reply.error_code = TOO_LARGE_CODE
                break
            reply.hold(part, content)
        return True

    def _taken(self, message_id: str) -> Message:
        reply = self._announced.pop(message_id)
        if reply.error_code != ErrorCode.MESSAGE_UNAVAILABLE:
            # Flower then deletes it, also one that is never taken: it would lie there until the run ends.
            self._client.ConfirmMessageReceived(
                ConfirmMessageReceivedRequest(
                    node=self._node, run_id=self._run_id, message_object_id=reply.message_id
                )
            )
        if reply.error_code is not None:
            return make_message(reply.metadata, error=Error(reply.error_code))
        try:
            found = inflate_object_from_contents(reply.message_id, reply.contents)
        except Exception:  # whatever a site sends, reading it must not end the run
            found = None
        unreadable = Error(UNREADABLE_CODE)
        return found if isinstance(found, Message) else make_message(reply.metadata, error=unreadable)
