"""Replies that are announced before all of their bytes are there.

A site first announces a reply and then pushes it object by object. Flower's own grid waits for the missing
objects of one reply for minutes, or two hours where the site keeps its session open, and hears nobody else
meanwhile: one link that breaks halfway would hold up everybody's run. Here nobody waits. What is missing is
asked for again at the next look, and the study's deadline decides.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

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
    inflate_object_from_contents,
    pull_objects,
)
from flwr.supercore.runtime import RuntimeHttpClient


@dataclass
class _Announced:
    message_id: str
    metadata: Metadata
    objects: list[str]
    contents: dict[str, bytes] = field(default_factory=dict)
    lost: bool = False


class Arrivals:
    """The replies of one run, on the coordinator's side of `client`."""

    def __init__(self, client: RuntimeHttpClient, run_id: int) -> None:
        self._client = client
        self._run_id = run_id
        self._node = Node(node_id=SUPERLINK_NODE_ID)
        self._pull = make_pull_object_fn_protobuf(client.PullObject, self._node, run_id)
        self._announced: dict[str, _Announced] = {}

    def take(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies to these messages that are whole; lost or unreadable ones as Flower's errors.

        A reply to a message that is not asked about any more is forgotten.
        """
        asked = set(message_ids)
        for late in self._announced.keys() - asked:
            del self._announced[late]
        self._look(asked - self._announced.keys())
        return [self._taken(to) for to, reply in list(self._announced.items()) if self._whole(reply)]

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
            objects = [part.object_id for part in iterate_object_tree(tree)]
            self._announced[told.reply_to_message_id] = _Announced(told.message_id, metadata, objects)

    def _whole(self, reply: _Announced) -> bool:
        """Fetch what has come since the last look; whether nothing is missing, or it never will come."""

        def pull(object_id: str) -> bytes:
            try:
                reply.contents[object_id] = self._pull(object_id)
            except ObjectPullError:
                reply.lost = True
                raise
            return reply.contents[object_id]

        missing = [part for part in reply.objects if part not in reply.contents]
        try:
            pull_objects(missing, pull, max_tries_per_object=1)
        except ObjectPullError:
            return reply.lost
        return True

    def _taken(self, message_id: str) -> Message:
        reply = self._announced.pop(message_id)
        if reply.lost:
            return make_message(metadata=reply.metadata, error=Error(ErrorCode.MESSAGE_UNAVAILABLE))
        self._client.ConfirmMessageReceived(
            ConfirmMessageReceivedRequest(
                node=self._node, run_id=self._run_id, message_object_id=reply.message_id
            )
        )
        try:
            found = inflate_object_from_contents(reply.message_id, reply.contents)
        except Exception:  # whatever a site sends, reading it must not end the run
            found = None
        unreadable = Error(ErrorCode.UNKNOWN)
        return found if isinstance(found, Message) else make_message(reply.metadata, error=unreadable)
