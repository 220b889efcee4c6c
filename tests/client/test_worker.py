"""One instruction in a process of its own: what is pushed for it, and that only installed code runs."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.common.constant import SubStatus
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError
from flwr.supercore.task_identity import TaskIdentity

from client import worker
from client.audit import Audit
from client.runtime import Envelope, Task
from client.worker import answer_task, report_crash
from shared.bundle import bundle
from shared.packing import ARRAYS
from tests.client.hospital import Instruction, message, site_at, tiny_study

TASK = Task("127.0.0.1:1", "token")
STUDY = tiny_study()
ENROL: Instruction = ("enrol", {"run": "run-1", "study": STUDY.model_dump_json()}, {})
TRAIN: Instruction = ("train", {"run": "run-1", "study_digest": STUDY.digest(), "round": 1}, {})
INSTALLED = Fab(hashlib.sha256(bundle()).hexdigest(), bundle(), {})
CHANGED = bundle() + b"\n"


@dataclass
class SuperNode:
    """Stands in for Flower's runtime API: hands out one message and one bundle, takes what is pushed."""

    message: Message
    fab: Fab
    pushed: list[Message] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    closed: int = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def identity() -> Iterator[None]:
    """Flower keeps who a process is in a class; these tests must not leave anything there."""
    names = ("_run_id", "_node_id", "_task_id")
    before = {name: getattr(TaskIdentity, name) for name in names}
    yield
    for name, value in before.items():
        setattr(TaskIdentity, name, value)


@pytest.fixture
def site_file(phantoms: Path, tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(site_at(phantoms, tmp_path / "work").to_yaml(), encoding="utf-8")
    return path


def at(supernode: SuperNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the worker meet this SuperNode."""

    class Heartbeat:
        def __init__(self, _: object) -> None: ...
        def start(self) -> None: ...
        def stop(self) -> None: ...

    def pull(_: object) -> tuple[Message, Context, None, Fab]:
        context = Context(7, 5, {"site": "/of/somebody/else"}, RecordDict(), {})
        return supernode.message, context, None, supernode.fab

    monkeypatch.setattr(worker, "connect", lambda task: supernode)
    monkeypatch.setattr(worker, "HeartbeatSender", Heartbeat)
    monkeypatch.setattr(worker, "make_task_heartbeat_fn_http", lambda client: None)
    monkeypatch.setattr(worker, "pull_task_input", pull)
    monkeypatch.setattr(worker, "push_message", lambda client, reply, numbers: client.pushed.append(reply))
    monkeypatch.setattr(worker, "push_task_output", lambda client, _, status, why: client.ended.append(why))


def answered(supernode: SuperNode, site_file: Path, monkeypatch: pytest.MonkeyPatch) -> Envelope:
    at(supernode, monkeypatch)
    receiver: Connection
    receiver, sender = Pipe(duplex=False)
    answer_task(TASK, str(site_file), sender)
    envelope: Envelope = receiver.recv()
    assert supernode.ended == [""]
    assert supernode.closed == 1
    return envelope


def fields(reply: Message, place: int = 0) -> dict[str, Any]:
    found = dict(reply.content.config_records[str(place)])
    del found[ARRAYS]
    return found


def codes(reply: Message) -> list[Any]:
    """The code of every answer in a reply, all of which must be failures."""
    found = [fields(reply, place) for place in range(len(reply.content.config_records))]
    assert {f["kind"] for f in found} == {"failure"}
    return [f["code"] for f in found]


def test_the_installed_app_answers_for_the_site_that_was_named_when_the_node_was_started(
    site_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supernode = SuperNode(message(ENROL), INSTALLED)
    envelope = answered(supernode, site_file, monkeypatch)
    (reply,) = supernode.pushed
    assert fields(reply)["kind"] == "enrolment"
    assert fields(reply)["site"] == "north"
    assert reply.metadata.reply_to_message_id == supernode.message.metadata.message_id
    assert (envelope.run_id, envelope.node_id, envelope.instructions) == (7, 5, 1)


@pytest.mark.parametrize(
    "fab",
    [
        Fab(hashlib.sha256(CHANGED).hexdigest(), CHANGED, {}),
        Fab(INSTALLED.hash_str, CHANGED, {}),  # says that it is the installed one
        Fab(hashlib.sha256(CHANGED).hexdigest(), INSTALLED.content, {}),
        Fab("", b"", {}),
    ],
    ids=["changed", "changed and lying", "another hash", "none"],
)
def test_another_bundle_is_refused_and_nothing_is_run(
    fab: Fab, site_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object) -> None:
        pytest.fail("the app was run")

    monkeypatch.setattr(worker, "app", run)
    supernode = SuperNode(message(ENROL, TRAIN), fab)
    answered(supernode, site_file, monkeypatch)
    (reply,) = supernode.pushed
    assert codes(reply) == ["policy.bundle", "policy.bundle"]
    work = site_file.parent / "work"
    lines = list(Audit(work / "audit.jsonl").entries())
    assert [line["kind"] for line in lines if line["event"] == "released"] == ["failure", "failure"]
    log = (work / "site.log").read_text()
    assert "the coordinator sent the app bundle" in log
    assert "the coordinator sent" not in json.dumps([fields(reply, place) for place in (0, 1)])


@pytest.mark.parametrize("task_is_known", [True, False])
def test_an_answer_that_the_supernode_drops_halfway_is_not_followed_by_another(
    site_file: Path, monkeypatch: pytest.MonkeyPatch, task_is_known: bool
) -> None:
    supernode = SuperNode(message(ENROL), INSTALLED)
    at(supernode, monkeypatch)

    def dropped(client: SuperNode, reply: Message, _: object) -> None:
        client.pushed.append(reply)
        raise ObjectPushError("an object", 7, "a session")

    def ended(client: SuperNode, _: object, status: str, why: str) -> None:
        client.ended.append(status)
        if not task_is_known:
            raise httpx.HTTPError("the task is not known")

    monkeypatch.setattr(worker, "push_message", dropped)
    monkeypatch.setattr(worker, "push_task_output", ended)
    receiver, sender = Pipe(duplex=False)
    answer_task(TASK, str(site_file), sender)  # no exception: the fork ends with 0 and is not answered for
    assert receiver.poll()
    assert len(supernode.pushed) == 1
    assert supernode.ended == [SubStatus.COMPLETED]


def test_for_a_fork_that_died_every_instruction_is_answered_with_crashed(
    site_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = message(ENROL, TRAIN)
    supernode = SuperNode(asked, INSTALLED)
    at(supernode, monkeypatch)
    report_crash(TASK, str(site_file), Envelope(asked.metadata, 7, 5, 2), -9)
    (reply,) = supernode.pushed
    assert codes(reply) == ["crashed", "crashed"]
    assert reply.metadata.reply_to_message_id == asked.metadata.message_id
    assert (TaskIdentity.run_id, TaskIdentity.node_id) == (7, 5)
    assert supernode.ended == [""]
    assert "memory ran out" in (site_file.parent / "work" / "site.log").read_text()
