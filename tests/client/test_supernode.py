"""flower-supernode as we start it: who gets in, what it tells, and the two pauses that are shortened."""

import ast
import inspect
import itertools
import json
import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from flwr.proto.message_pb2 import PullObjectResponse, PushObjectRequest, PushObjectResponse
from flwr.supercore.retry import http_retry
from flwr.supernode import fleet_http_connection, start_client_internal
from flwr.supernode.fleet_http_client import FleetHttpClient

from client import supernode
from client.runtime import Runtime
from client.supernode import MESSAGE_PAUSE_S, REPLY_PAUSE_S, REPLY_POLL_S, RETRY_S, SHORTEST_S, Clock, Fleet
from server.flower import Flower, online
from shared.ports import free_port
from shared.processes import rotating_log
from shared.signing import new_key, public_bytes
from tests.server.loopback import Kept, SuperLink, new_folder, until

POLL_S = 0.2


@contextmanager
def node(link: SuperLink, folder: Path, *, ca: Path | None = None) -> Iterator[tuple[Kept, Runtime]]:
    """Start a SuperNode with the key in `folder`, and connect to its runtime API."""
    secret = folder / "runtime.secret"
    secret.write_bytes(secrets.token_bytes(32))
    address = f"127.0.0.1:{free_port()}"
    log = rotating_log(folder / "supernode.log", days=1)
    kept = Kept.make(
        *("-m", "client.supernode", str(POLL_S), "--superlink", link.address),
        *("--root-certificates", str(ca or link.settings.ca_pem)),
        *("--auth-supernode-private-key", str(folder / "node.key")),
        *("--isolation", "process", "--superexec-auth-secret-file", str(secret)),
        *("--host", "127.0.0.1", "--port", address.split(":")[1]),
        log=log,
        environment={"FLWR_HOME": str(folder / "flower")},
    )
    runtime = Runtime(address, secret.read_bytes())
    try:
        kept.command.keep()
        yield kept, runtime
    finally:
        runtime.close()
        kept.command.stop(grace_s=5.0)
        log.close()


def test_a_registered_key_comes_online_and_leaves_in_good_order(
    link: SuperLink, flower: Flower, tmp_path: Path
) -> None:
    public = public_bytes(new_key(tmp_path / "node.key"))
    flower.register("hospital-a", public)
    with node(link, tmp_path) as (kept, _):
        until(lambda: public in online(flower.nodes()), "the node online")
        knows = "SuperNode ID"  # the coordinator knows it sooner: ended in between, it would take no leave
        until(lambda: any(knows in line for line in kept.lines), "the node knowing that it is")
        process = kept.command._process
        assert process is not None
        process.terminate()
        until(lambda: not kept.command.running, "the end of the SuperNode", within_s=8.0)
        assert kept.command.keep() == 0
        assert not [line for line in kept.lines if "Fatal" in line or "Traceback" in line]
    until(lambda: public not in online(flower.nodes()), "the node offline")


def test_an_unregistered_key_is_refused_and_the_process_says_so_and_ends(
    link: SuperLink, flower: Flower, tmp_path: Path
) -> None:
    public = public_bytes(new_key(tmp_path / "node.key"))
    with node(link, tmp_path) as (kept, _):
        until(lambda: not kept.command.running, "the end of the SuperNode")
        assert kept.command.keep() not in {None, 0}
        assert "Failed to activate SuperNode" in "\n".join(kept.lines)
    assert public not in {n.public_key for n in flower.nodes()}


def test_the_successor_of_a_killed_node_takes_leave_in_its_name_and_gets_in_at_once(
    link: SuperLink, flower: Flower, tmp_path: Path
) -> None:
    number = flower.register("hospital-d", public_bytes(new_key(tmp_path / "node.key")))
    (tmp_path / "enrolment.json").write_text(json.dumps({"node_id": number}))
    with node(link, tmp_path) as (kept, _):
        until(lambda: "SuperNode ID" in "\n".join(kept.lines), "the node connected")
        os.kill(kept.pid, signal.SIGKILL)
        until(lambda: not kept.command.running, "its end")
        kept.start_again()
        until(lambda: "\n".join(kept.lines).count("SuperNode ID") == 2, "its successor", within_s=50.0)
        assert "Failed to activate" not in "\n".join(kept.lines)


def test_a_coordinator_with_another_authority_is_not_trusted(
    link: SuperLink, flower: Flower, tmp_path: Path
) -> None:
    public = public_bytes(new_key(tmp_path / "node.key"))
    flower.register("hospital-b", public)
    other = new_folder(tmp_path / "other")
    with node(link, tmp_path, ca=other.ca_pem) as (kept, _):
        until(lambda: "certificate verify failed" in "\n".join(kept.lines), "the mistrust")
    assert public not in online(flower.nodes())


def test_whoever_asks_for_tasks_needs_the_nodes_secret_and_leaves_no_line_each_time(
    link: SuperLink, flower: Flower, tmp_path: Path
) -> None:
    public = public_bytes(new_key(tmp_path / "node.key"))
    flower.register("hospital-c", public)
    with node(link, tmp_path) as (_, runtime):
        until(lambda: public in online(flower.nodes()), "the node online")
        for _ in range(20):
            assert runtime.next_task() is None
        thief = Runtime(runtime._address, b"x" * 32)
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            thief.next_task()
        thief.close()
    logged = (tmp_path / "supernode.log").read_text()
    assert "SuperNode ID" in logged
    assert logged.count("acquire-task") == 1  # the thief's


# The pauses


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []

    class Recorder:
        sleep = staticmethod(slept.append)

    monkeypatch.setattr(supernode, "time", Recorder)
    return slept


@pytest.mark.parametrize(
    ("asked_s", "slept_s"),
    [(MESSAGE_PAUSE_S, POLL_S), (REPLY_PAUSE_S, REPLY_POLL_S), (1, 1), (0.1, 0.1), (2.9, 2.9), (60, 60)],
)
def test_the_two_pauses_are_shortened_and_no_other(
    slept: list[float], asked_s: float, slept_s: float
) -> None:
    Clock(POLL_S).sleep(asked_s)
    assert slept == [slept_s]


def test_no_pause_becomes_longer(slept: list[float]) -> None:
    Clock(30.0).sleep(MESSAGE_PAUSE_S)
    assert slept == [MESSAGE_PAUSE_S]


def test_after_an_answer_it_asks_at_once_and_then_ever_more_slowly(slept: list[float]) -> None:
    clock = Clock(POLL_S)
    for asked_s in (MESSAGE_PAUSE_S, MESSAGE_PAUSE_S, REPLY_PAUSE_S, *[MESSAGE_PAUSE_S] * 5):
        clock.sleep(asked_s)
    assert slept[:4] == [POLL_S, POLL_S, REPLY_POLL_S, SHORTEST_S]
    assert slept[4:] == sorted(slept[4:])
    assert slept[-1] == POLL_S


@pytest.mark.parametrize("poll_s", [0.01, 30.0])
def test_after_an_answer_no_pause_is_longer_than_the_site_says(slept: list[float], poll_s: float) -> None:
    clock = Clock(poll_s)
    for asked_s in (REPLY_PAUSE_S, *[MESSAGE_PAUSE_S] * 20):
        clock.sleep(asked_s)
    assert max(slept[1:]) == min(poll_s, MESSAGE_PAUSE_S)
    assert slept[1] == min(SHORTEST_S, poll_s)


def test_flower_takes_its_longest_retry_delay_from_where_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_retry, "MAX_RETRY_DELAY", RETRY_S)
    delays = http_retry.make_simple_http_retry_invoker().wait_gen_factory()
    assert max(itertools.islice(delays, 20)) <= RETRY_S


def test_flower_pauses_where_this_version_of_wardround_thinks_it_does() -> None:
    # A new Flower may move them: nodes would be slow again, or ask the stand-in for what `time` has besides.
    assert uses_of_time(inspect.getsource(start_client_internal)) == [
        f"time.sleep({MESSAGE_PAUSE_S})",
        f"time.sleep({REPLY_PAUSE_S})",
        f"time.sleep({REPLY_PAUSE_S})",
    ]
    assert uses_of_time(inspect.getsource(start_client_internal._push_messages)) == [
        f"time.sleep({REPLY_PAUSE_S})",
        f"time.sleep({REPLY_PAUSE_S})",
    ]


def uses_of_time(source: str) -> list[str]:
    """Every statement, in order, that has to do with the `time` module, but for its import."""
    tree = ast.parse(source)
    names = {node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "time"}
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.Expr) and names & {*ast.walk(node)}]
    assert len(statements) == len(names)
    return [ast.unparse(node) for node in sorted(statements, key=lambda node: node.lineno)]


@pytest.mark.parametrize("there", [True, False])
def test_a_part_that_was_stored_before_the_link_broke_counts_as_stored(
    monkeypatch: pytest.MonkeyPatch, *, there: bool
) -> None:
    monkeypatch.setattr(FleetHttpClient, "PushObject", lambda *_: PushObjectResponse(stored=False))
    monkeypatch.setattr(
        FleetHttpClient,
        "PullObject",
        lambda *_: PullObjectResponse(object_found=True, object_available=there),
    )
    assert Fleet.__new__(Fleet).PushObject(PushObjectRequest(object_id="a")).stored is there


def test_the_supernode_takes_our_client_of_the_fleet() -> None:
    source = inspect.getsource(fleet_http_connection.http_request_response)
    assert "FleetHttpClient.from_server_address(" in source  # by the name that `main` replaces
