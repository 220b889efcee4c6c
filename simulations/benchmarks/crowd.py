"""Many hospitals played by one thread against a real coordinator: enrolled, signed, over TLS, in turn.

Each has its own folder, key, audit log and data, speaks Flower's fleet protocol through Flower's own client
code, and answers with the installed ClientApp. Only what makes hundreds of processes is left out.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from flwr.app import Context, Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import (
    inflate_object_from_contents,
    pull_objects,
    push_object_contents_from_iterable,
)
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.fleet_http_connection import http_request_response

from client.app import app
from client.enrolment import enrol
from client.membership import Enrolment
from client.site import Site
from shared.errors import FederationError
from shared.signing import read_key

PAUSE_S = 0.2


@dataclass
class Member:
    """One hospital and its connection to the SuperLink."""

    site_file: Path
    node: int
    connection: Any

    def turn(self) -> bool:
        """Answer the message that waits for it; whether there was one."""
        _, receive, send, _, _, pull_object, push_object, confirm = self.connection
        received = receive()
        if received is None:
            return False
        announced, tree = received
        run, identity = announced.metadata.run_id, announced.metadata.message_id
        contents = pull_objects(
            [part.object_id for part in iterate_object_tree(tree)], partial(pull_object, run)
        )
        message = inflate_object_from_contents(identity, contents)
        if not isinstance(message, Message):
            raise FederationError(f"the coordinator sent a {type(message).__name__}, expected a message")
        message.metadata.__dict__["_message_id"] = identity
        confirm(run, identity)
        self._answer(message, run, send, push_object)
        return True

    def _answer(self, message: Message, run: int, send: Any, push_object: Any) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id = run, self.node
        context = Context(run, self.node, {"site": str(self.site_file)}, RecordDict(), {})
        reply = app(message, context)
        reply.metadata.__dict__["_message_id"] = reply.object_id
        with no_object_id_recompute():
            parts = get_all_nested_objects(reply)
            wanted, session = send(reply, get_object_tree(reply), 0.0)
            push_object_contents_from_iterable(
                ((part, parts[part].deflate()) for part in parts if part in wanted),
                partial(push_object, run, session),
            )


def join(files: Mapping[str, Path], invites: Iterable[str]) -> None:
    """Enrol each site with its invite, in the order of `files`."""
    for file, invite in zip(files.values(), invites, strict=True):
        enrol(Site.read(file), invite)


@contextmanager
def crowd(files: Iterable[Path]) -> Iterator[None]:
    """Keep all of them connected and answering; raises what ended their thread, if anything did."""
    stop, failed = threading.Event(), []

    def answer(members: list[Member]) -> None:
        try:
            while not stop.is_set():
                answered = [member.turn() for member in members]
                if not any(answered):
                    stop.wait(PAUSE_S)
        except Exception as error:  # it belongs to whoever opened the crowd
            failed.append(error)

    with ExitStack() as connected:
        members = [connected.enter_context(_member(file)) for file in files]
        thread = threading.Thread(target=answer, args=(members,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
    if failed:
        raise failed[0]


@contextmanager
def _member(file: Path) -> Iterator[Member]:
    enrolment = Enrolment.load(Site.read(file))
    if enrolment is None:
        raise FederationError(f"{file} is not enrolled")
    key = read_key(enrolment.private_key)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise FederationError(f"{enrolment.private_key} holds a {type(key).__name__}")
    with http_request_response(
        enrolment.fleet, False, enrolment.ca_pem.read_bytes(), (key, key.public_key())
    ) as connection:
        yield Member(file, connection[0], connection)
