"""How things stand: told by the coordinator that is up, or read from the store where none is."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc

from server.commands import opened
from server.control import ADMIN
from server.settings import Coordinator
from server.status import boards, snapshot
from server.store import Store
from shared.control import control_pb2 as pb
from shared.control.control_pb2_grpc import ControlStub
from shared.errors import FederationError

CONNECT_S = 3.0
READY_S = 15.0
ANSWER_S = 10.0


def live(settings: Coordinator, *, run: str = "", follow: bool = False) -> Iterator[pb.Status]:
    """Receive the status from the coordinator that is up; raise FederationError when none is, or it ends."""
    token = settings.admin_token.read_text(encoding="ascii").strip()
    credentials = grpc.ssl_channel_credentials(root_certificates=settings.ca_pem.read_bytes())
    options = (("grpc.enable_http_proxy", 0), ("grpc.keepalive_time_ms", 30_000))
    nobody = f"no coordinator answers at {settings.local_control}. Start it: wardround coordinator up"
    host, _, port = settings.local_control.rpartition(":")
    try:  # gRPC itself would try for seconds
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        raise FederationError(nobody) from error
    with grpc.secure_channel(settings.local_control, credentials, options) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=READY_S)  # a busy machine shakes hands slowly
            request = pb.StatusRequest(run=run, follow=follow)
            yield from ControlStub(channel).WatchStatus(
                request, metadata=((ADMIN, token),), timeout=None if follow else ANSWER_S
            )
        except grpc.FutureTimeoutError as error:
            raise FederationError(nobody) from error
        except grpc.RpcError as error:
            gone = error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
            raise FederationError(
                nobody if gone else f"the coordinator at {settings.local_control} refuses: {error.details()}"
            ) from error


def stored(settings: Coordinator, store: Store, *, run: str = "") -> pb.Status:
    """Put the status together without a coordinator that is up: nobody is online."""
    return snapshot(store, online=set(), board=boards(settings), run=run)


def status(given: Path | None, run: str) -> tuple[pb.Status, bool]:
    """Return the status, and whether it comes from a coordinator that is up."""
    with opened(given) as (settings, store):
        return look(settings, store, run=run)


def look(settings: Coordinator, store: Store, *, run: str = "") -> tuple[pb.Status, bool]:
    """Return the status as `status` does, from an open store; ConfigError for a run that does not exist."""
    if run:
        store.run(run)
    with suppress(FederationError):
        for now in live(settings, run=run):
            return now, True
    return stored(settings, store, run=run), False
