"""`flower-supernode` that announces every reply again once it is delivered, as a replay would.

Started by `tests.end_to_end.hostile_site` in the place of ``python -m client.supernode``. It prints REPEATED
for each repetition that the SuperLink answered.
"""

import sys

import httpx
from flwr.proto.fleet_pb2 import (
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
)
from flwr.supernode.fleet_http_client import FleetHttpClient

from client import supernode

REPEATED = "repeated"
announce, ask = FleetHttpClient.PushMessages, FleetHttpClient.PullMessages
delivered: list[PushMessagesRequest] = []


def announce_and_keep(self: FleetHttpClient, request: PushMessagesRequest) -> PushMessagesResponse:
    delivered.append(request)
    return announce(self, request)


def ask_after_repeating(self: FleetHttpClient, request: PullMessagesRequest) -> PullMessagesResponse:
    """The SuperNode asks for the next instruction only when it is done with its reply to the last one."""
    for repetition in (*delivered, *delivered):
        try:
            announce(self, repetition)
            sys.stdout.write(f"{REPEATED}: answered\n")
        except httpx.HTTPStatusError as error:
            sys.stdout.write(f"{REPEATED}: {error.response.status_code}\n")
    delivered.clear()
    return ask(self, request)


if __name__ == "__main__":
    FleetHttpClient.PushMessages = announce_and_keep  # type: ignore[method-assign]
    FleetHttpClient.PullMessages = ask_after_repeating  # type: ignore[method-assign]
    supernode.main()
