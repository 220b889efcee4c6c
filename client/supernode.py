"""`flower-supernode`, which asks for work every `POLL_S` seconds instead of every three, at once after work.

Flower 1.41 has the pause between two requests for a message written into its loop
(flwr/supernode/start_client_internal.py: ``time.sleep(3)``, and 0.5 while it waits for the app's reply). With
short rounds that pause is most of a round. After an answer the next question often comes at once: then it
asks every `SHORTEST_S`, ever more slowly. And a link that comes back is noticed within `RETRY_S` where Flower
would wait up to 20 s between attempts. A part of an answer that was stored while the link broke is found
again (`Fleet`). Nothing else of Flower is changed.

One thing is done before it starts. A node that was killed counts as connected for a minute; meanwhile Flower
refuses its successor, and afterwards waits to the deadline for the answer that died with it. So the successor
first takes leave in its name (`leave`), and the coordinator counts that answer as lost at once.

Run as ``python -m client.supernode POLL_S FLOWER-ARGUMENTS...``.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
from flwr.proto.fleet_pb2 import DeactivateNodeRequest
from flwr.proto.message_pb2 import PullObjectRequest, PushObjectRequest, PushObjectResponse
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.retry import http_retry
from flwr.supernode import fleet_http_connection, start_client_internal
from flwr.supernode.cli import flower_supernode
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from shared.processes import end_with_stdin
from shared.signing import read_key

MESSAGE_PAUSE_S, REPLY_PAUSE_S = 3, 0.5
REPLY_POLL_S = 0.05
SHORTEST_S, GROWTH = 0.05, 1.5
RETRY_S = 5
LEFT_S = 2.0
"""The coordinator looks for answers every half second (server/messages.py); only while the node is away does
it see that one is lost."""


class Clock:
    """Stands in for the `time` module in Flower's loop."""

    def __init__(self, poll_s: float) -> None:
        self._poll_s = self._next_s = poll_s

    def sleep(self, seconds: float) -> None:
        """Sleep; shorter than was asked for when the pause is one of the two, never longer."""
        if seconds == MESSAGE_PAUSE_S:
            seconds = min(seconds, self._next_s)
            self._next_s = min(self._poll_s, GROWTH * self._next_s)
        elif seconds == REPLY_PAUSE_S:  # an answer is under way
            seconds, self._next_s = REPLY_POLL_S, min(SHORTEST_S, self._poll_s)
        time.sleep(seconds)


class Fleet(FleetHttpClient):
    """Flower's client, which believes no repeated push that it failed before it has looked.

    The SuperLink takes each part of an answer once. When the link breaks after that and before it has said
    so, the push is repeated and answered with "not stored", and the whole answer would be dropped.
    """

    def PushObject(self, request: PushObjectRequest) -> PushObjectResponse:  # noqa: N802 - Flower's name
        """Push one part; `stored` also if it was there before."""
        answer = super().PushObject(request)
        if not answer.stored:
            same = PullObjectRequest(node=request.node, run_id=request.run_id, object_id=request.object_id)
            answer.stored = self.PullObject(same).object_available
        return answer


def leave(arguments: Sequence[str]) -> bool:
    """Disconnect this node at the SuperLink; returns whether it counted as connected.

    `arguments` are flower-supernode's. The node's number lies beside its key, in enrolment.json; where that
    is missing, nothing is done.
    """
    parser = argparse.ArgumentParser()
    for name in ("--superlink", "--root-certificates", "--auth-supernode-private-key"):
        parser.add_argument(name, required=True)
    given, _ = parser.parse_known_args(arguments)
    key_file = Path(given.auth_supernode_private_key)
    enrolment = key_file.with_name("enrolment.json")
    if not enrolment.exists():
        return False
    node_id = int(json.loads(enrolment.read_text(encoding="utf-8"))["node_id"])
    key = read_key(key_file)
    client = FleetHttpClient.from_server_address(
        given.superlink,
        False,
        Path(given.root_certificates).read_bytes(),
        [
            RuntimeVersionHttpInterceptor(component_name="SuperNode"),
            NodeAuthHttpInterceptor(key, key.public_key()),
        ],
    )
    try:
        client.DeactivateNode(DeactivateNodeRequest(node_id=node_id))
    except httpx.HTTPError:
        return False  # it was not connected, or the coordinator is away: Flower's own attempts follow
    finally:
        client.close()
    return True


def main() -> None:
    """Start flower-supernode."""
    poll_s, *rest = sys.argv[1:]
    end_with_stdin()
    if leave(rest):
        time.sleep(LEFT_S)
    http_retry.MAX_RETRY_DELAY = RETRY_S  # type: ignore[attr-defined]
    fleet_http_connection.FleetHttpClient = Fleet  # type: ignore[attr-defined]
    start_client_internal.time = Clock(float(poll_s))  # type: ignore[assignment, attr-defined]
    sys.argv = ["flower-supernode", *rest]
    flower_supernode()


if __name__ == "__main__":
    main()
