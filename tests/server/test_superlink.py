"""What the coordinator does through Flower's SuperLink, and what the SuperLink survives."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.common.serde import run_from_proto
from flwr.proto.control_pb2 import StopRunRequest
from flwr.proto.message_pb2 import PushObjectRequest, PushObjectResponse
from flwr.proto.runtime_pb2 import PullTaskInputRequest
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.fleet_http_connection import http_request_response

from server import authority
from server.door import CA_PATH
from server.flower import CoordinatorGrid, Flower
from shared.bundle import SETTING, bundle, bundle_digest
from shared.signing import PrivateKey, public_bytes
from tests.server.loopback import SuperLink, connection, status, superlink, until


def test_a_node_is_listed_from_its_registration_to_its_end(
    flower: Flower, key: PrivateKey, site: str
) -> None:
    public = public_bytes(key)
    node = flower.register(site, public)
    (found,) = [n for n in flower.nodes() if n.public_key == public]
    assert (found.node, found.online) == (node, False)
    with pytest.raises(httpx.HTTPStatusError):
        flower.register(site, public)
    flower.unregister(node)
    assert public not in {n.public_key for n in flower.nodes()}


def test_a_run_becomes_one_task_with_the_hash_of_the_installed_bundle(flower: Flower) -> None:
    assert flower.next_task() is None
    run = flower.start("run-1")
    task = flower.next_task()
    assert task is not None
    assert (task.flower_run, task.fab_hash) == (run, bundle_digest())
    assert flower.next_task() is None
    flower.stop(run)


def test_whoever_holds_a_task_and_the_token_gets_the_run_and_the_bundle(
    link: SuperLink, flower: Flower
) -> None:
    run = flower.start("run-2")
    task = flower.next_task()
    assert task is not None
    closed = CoordinatorGrid(replace(link.link, token="wrong"), task.token, max_reply_bytes=1)  # noqa: S106
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        closed._runtime_client.PullTaskInput(PullTaskInputRequest())
    closed.close()
    grid = CoordinatorGrid(link.link, task.token, max_reply_bytes=1)
    found = grid._runtime_client.PullTaskInput(PullTaskInputRequest())
    grid.close()
    assert found.run.run_id == run
    assert {k: v.string for k, v in found.run.override_config.items()} == {SETTING: "run-2"}
    assert found.fab.content == bundle()
    flower.stop(run)


def test_a_message_arrives_though_the_answer_to_each_push_is_lost(
    link: SuperLink, flower: Flower, key: PrivateKey, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = flower.register(site, public_bytes(key))
    run = flower.start("run-9")
    task = flower.next_task()
    assert task is not None
    grid = CoordinatorGrid(link.link, task.token, max_reply_bytes=1)
    grid.set_run(run_from_proto(grid._runtime_client.PullTaskInput(PullTaskInputRequest()).run))
    push, stored = RuntimeHttpClient.PushObject, list[bool]()

    def lost(client: RuntimeHttpClient, request: PushObjectRequest) -> PushObjectResponse:
        push(client, request)
        answer = push(client, request)  # as Flower repeats what it heard no answer to
        stored.append(answer.stored)
        return answer

    monkeypatch.setattr(RuntimeHttpClient, "PushObject", lost)
    for name, number in (("_task_id", 1), ("_run_id", run), ("_node_id", SUPERLINK_NODE_ID)):
        monkeypatch.setattr(TaskIdentity, name, number)
    message = Message(RecordDict({"part": ConfigRecord({"text": "a question"})}), node, "query")
    with http_request_response(
        link.address, False, link.settings.ca_pem.read_bytes(), (key, key.public_key())
    ):  # Flower takes messages for connected nodes only
        (sent,) = grid.push_messages([message])
    assert sent
    assert stored
    assert not any(stored)  # so Flower says; the grid looks and finds them
    grid.close()
    flower.stop(run)


def test_a_stopped_run_leaves_no_task_and_may_be_stopped_again(flower: Flower) -> None:
    run = flower.start("run-3")
    flower.stop(run)
    flower.stop(run)
    flower.stop(12345)  # one that Flower does not know
    assert flower.next_task() is None


def test_a_task_said_to_have_failed_is_not_handed_out_again(flower: Flower) -> None:
    run = flower.start("run-4")
    task = flower.next_task()
    assert task is not None
    flower.finish(task, reason="unknown run")
    assert flower.next_task() is None
    with pytest.raises(httpx.HTTPStatusError, match="412"):  # the run has ended
        flower._control.StopRun(StopRunRequest(run_id=run))


def test_a_wrong_secret_gets_no_task_and_takes_none_away(link: SuperLink, flower: Flower) -> None:
    run = flower.start("run-5")
    thief = Flower(replace(link.link, secret=b"x" * 32))
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        thief.next_task()
    thief.close()
    assert flower.next_task() is not None
    flower.stop(run)


def test_an_empty_token_file_opens_nothing(link: SuperLink, tmp_path: Path) -> None:
    empty = tmp_path / "empty.token"
    empty.touch()
    arguments = list(link.command.arguments)
    arguments[3] = str(empty)
    heard: list[str] = []
    replaced = replace(link.command, arguments=arguments, _process=None, heard=heard.append)
    replaced.keep()
    code: list[int | None] = []
    try:
        until(lambda: not replaced.running, "the refusal to start")
        code.append(replaced.keep())
    finally:
        replaced.stop()
    assert code == [1]
    assert f"{empty} is empty" in heard[-1]


def test_what_goes_well_several_times_a_second_leaves_no_line_in_the_log(
    link: SuperLink, flower: Flower
) -> None:
    flower.nodes()
    flower.next_task()
    until(lambda: [line for line in link.lines if "list-nodes" in line], "the line of the request")
    with connection(link) as wire:
        wire.sendall(b"GET /nothing HTTP/1.1\r\nhost: a\r\n\r\n")
        assert status(wire) == 404
    until(lambda: '" 404' in (link.settings.logs / "superlink.log").read_text(), "what went wrong")
    log = (link.settings.logs / "superlink.log").read_text()
    assert '" 200' not in log


def test_nodes_and_runs_are_still_there_after_the_superlink_was_killed(
    tmp_path: Path, key: PrivateKey
) -> None:
    with superlink(tmp_path) as link:
        flower = Flower(link.link)
        node = flower.register("hospital-a", public_bytes(key))
        run = flower.start("run-6")
        os.kill(link.pid, signal.SIGKILL)
        until(lambda: not link.command.running, "the end of the SuperLink")
        with pytest.raises(httpx.HTTPError):
            flower.nodes()
        assert link.command.keep() == -signal.SIGKILL
        link.start_again()
        link.until_it_answers()
        assert [(n.node, n.public_key) for n in flower.nodes()] == [(node, public_bytes(key))]
        task = flower.next_task()
        assert task is not None
        assert task.flower_run == run
        flower.close()


def test_an_orderly_end_takes_no_longer_because_somebody_keeps_a_connection_open(tmp_path: Path) -> None:
    with superlink(tmp_path) as link, connection(link) as idle:
        idle.sendall(f"GET {CA_PATH} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        assert status(idle) == 200
        process = link.command._process
        assert process is not None
        process.terminate()
        until(lambda: not link.command.running, "the end of the SuperLink", within_s=8.0)
        assert link.command.keep() == -signal.SIGTERM  # uvicorn passes the signal on once all is done
        assert "Finished server process" in link.lines[-1]
        assert not [line for line in link.lines if "Fatal" in line or "Traceback" in line]


def test_a_renewed_certificate_is_shown_without_a_restart_and_one_that_cannot_be_read_is_not(
    link: SuperLink,
) -> None:
    settings, pid = link.settings, link.pid

    def shown() -> int:
        with connection(link) as wire:
            found = wire.getpeercert(binary_form=True)
        assert found
        return x509.load_der_x509_certificate(found).serial_number

    def filed() -> int:
        return x509.load_pem_x509_certificate(settings.server_pem.read_bytes()).serial_number

    with connection(link) as kept:
        before = shown()
        settings.server_pem.write_text("nonsense")
        until(lambda: [line for line in link.lines if "cannot be read" in line], "the word for it")
        assert shown() == before
        authority.renew(settings)
        assert filed() != before
        until(lambda: shown() == filed(), "the new certificate")
        kept.sendall(f"GET {CA_PATH} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        assert status(kept) == 200  # a connection made before goes on
    assert link.pid == pid
