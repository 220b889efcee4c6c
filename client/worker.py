"""One instruction, answered in a process of its own by the installed app, never by what arrived.

Both functions run in a fork of a process that has already imported PyTorch and MONAI.
"""

import hashlib
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import httpx
from flwr.app import Context, Message
from flwr.common.constant import SubStatus
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

from client.app import app
from client.boundary import guarded
from client.messages import instructions_in, reply_to, without_content, wordless
from client.node import Node
from client.runtime import Envelope, Task, connect
from client.site import Site
from shared.bundle import bundle_digest
from shared.errors import CrashError, PolicyError, WardroundError
from shared.wire import Record

INSTALLED = bundle_digest()
"""Read when the code is: an upgrade of the files under a running node must not change what it says it is."""


def answer_task(task: Task, site_file: str, started: Connection) -> None:
    """Pull one instruction, answer it and push the answer; sends an `Envelope` through `started` in between.

    Runs in a fork. Its exit code is 0 when an answer was pushed, whatever that says.
    """
    client = connect(task)
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
    heartbeat.start()
    message, context, _, fab = pull_task_input(client)
    envelope = Envelope(message.metadata, context.run_id, context.node_id, instructions_in(message))
    started.send(envelope)
    started.close()
    if fab.hash_str == hashlib.sha256(fab.content).hexdigest() == INSTALLED:
        context.node_config = {"site": site_file}
        reply = app(message, context)
    else:
        sent = hashlib.sha256(fab.content).hexdigest()
        Node(Site.read(Path(site_file))).audit.append("bundle_refused", sent=sent, installed=INSTALLED)
        reply = _refusal(
            envelope,
            site_file,
            PolicyError(
                "bundle",
                f"the coordinator sent the app bundle {fab.hash_str[:12]}..., this node runs only its own, "
                f"{INSTALLED[:12]}.... Install the same version of Wardround on both sides.",
            ),
        )
    _push(client, reply, envelope)
    heartbeat.stop()


def report_crash(task: Task, site_file: str, envelope: Envelope, exit_code: int) -> None:
    """Answer for a fork that died: the coordinator gets the code ``crashed`` at once, not a silence."""
    TaskIdentity.run_id, TaskIdentity.node_id = envelope.run_id, envelope.node_id
    error = CrashError(
        f"the process that answered ended with code {exit_code}; -9 mostly means that memory ran out."
    )
    try:
        reply = _refusal(envelope, site_file, error)
    except Exception:  # a full disk: what cannot be audited may not leave, and silence lasts to the deadline
        reply = wordless(envelope.metadata)
    _push(connect(task), reply, envelope)


def _refusal(envelope: Envelope, site_file: str, error: WardroundError) -> Message:
    """Answer every instruction of a message with the same failure, through boundary and gate."""
    node = Node(Site.read(Path(site_file)))

    def fail() -> Record:
        raise error

    released = [
        guarded(fail, gate=node.gate, site=node.site.name, log=node.log) for _ in range(envelope.instructions)
    ]
    return reply_to(without_content(envelope.metadata), released)


def _push(client: RuntimeHttpClient, reply: Message, envelope: Envelope) -> None:
    """Hand the answer to the SuperNode, once; whether it still wants it is the SuperNode's affair.

    When the run has ended meanwhile, the SuperNode drops the answer while it is being pushed. A second one
    would be taken for the answer to the next question, and every later answer would stay behind until one
    more question comes. So there is none.
    """
    try:
        push_message(client, reply, cast("Context", envelope))  # it reads the numbers of run and node only
        push_task_output(client, None, SubStatus.COMPLETED, "")
    except ObjectPushError:
        with suppress(httpx.HTTPError):
            push_task_output(client, None, SubStatus.COMPLETED, "")
    client.close()
