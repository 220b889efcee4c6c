"""The instruction at hand: claimed, answered in a fork, dropped and let go of."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from client.answering import Answering
from client.runtime import Envelope, Runtime, Task
from shared.processes import WarmForks

FIRST, SECOND = Task("127.0.0.1:1", "first"), Task("127.0.0.1:1", "second")
SITE_FILE = Path("/site.yaml")
ENVELOPE = Envelope(cast("Any", "metadata"), run_id=1, node_id=2, instructions=1)
QUIET = logging.getLogger("test.answering")


@dataclass
class Process:
    """A fork as far as it is looked at; `ended` is its exit code."""

    sentinel: int = 0
    exitcode: int | None = None

    def is_alive(self) -> bool:
        return self.exitcode is None

    def kill(self) -> None:
        self.exitcode = -9


@dataclass
class Forks:
    """Notes what is to be started; `sender` is the newest fork's end of its pipe."""

    started: list[tuple[Any, ...]] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    sender: Connection | None = None

    def pipe(self) -> Any:
        receiver, sender = Pipe(duplex=False)
        self.sender = Connection(os.dup(sender.fileno()), readable=False)
        return receiver, sender

    def start(self, target: str, *arguments: Any) -> Process:
        self.started.append((target, *arguments))
        self.processes.append(Process())
        return self.processes[-1]


@dataclass
class SuperNode:
    """The runtime API: what waits there, and what it was told."""

    waiting: list[Task] = field(default_factory=list)
    given_up: list[Task] = field(default_factory=list)
    away: bool = False

    def next_task(self) -> Task | None:
        if self.away:
            raise httpx.ConnectError("nobody listens")
        return self.waiting.pop(0) if self.waiting else None

    def give_up(self, task: Task) -> None:
        if self.away:
            raise httpx.ConnectError("nobody listens")
        self.given_up.append(task)


class Bench:
    """One `Answering` between fake forks and a fake SuperNode."""

    def __init__(self, waiting: Sequence[Task] = (FIRST,)) -> None:
        self.forks, self.supernode = Forks(), SuperNode(list(waiting))
        self.told: list[str] = []
        self.runtime = cast("Runtime", self.supernode)
        forks = cast("WarmForks", self.forks)
        self.answering = Answering(SITE_FILE, forks=forks, tell=self.told.append, log=QUIET)

    def pulled(self) -> None:
        """Let the fork at work have its message."""
        assert self.forks.sender is not None
        self.forks.sender.send(ENVELOPE)


@pytest.fixture
def bench() -> Bench:
    """A fork that is answering the first task and has not pulled its message yet."""
    made = Bench((FIRST, SECOND))
    made.answering.take(made.runtime)
    return made


def test_one_instruction_is_claimed_at_a_time(bench: Bench) -> None:
    ((target, task, site_file, _sender),) = bench.forks.started
    assert (target, task, site_file) == ("client.worker:answer_task", FIRST, "/site.yaml")
    assert bench.answering.busy
    assert bench.answering.owes
    bench.answering.take(bench.runtime)
    assert bench.supernode.waiting == [SECOND]
    bench.forks.processes[0].exitcode = 0
    bench.answering.look_after()
    assert not bench.answering.busy
    bench.answering.take(bench.runtime)
    assert [entry[1] for entry in bench.forks.started] == [FIRST, SECOND]


def test_nothing_is_owed_while_nothing_waits_or_the_supernode_is_away() -> None:
    bench = Bench(())
    for away in (False, True):
        bench.supernode.away = away
        bench.answering.take(bench.runtime)
        assert not bench.answering.busy
        assert not bench.answering.owes


def test_what_is_dropped_is_killed_and_owed_no_more(bench: Bench) -> None:
    bench.answering.drop()
    assert bench.forks.processes[0].exitcode == -9
    assert not bench.answering.busy
    assert not bench.answering.owes
    assert bench.answering.sentinels == []
    assert bench.told == []
    assert bench.supernode.given_up == []
    bench.answering.drop()  # with nothing at hand


def test_a_fork_that_waits_for_the_rest_of_a_dropped_message_is_let_go_of(bench: Bench) -> None:
    bench.answering.let_go(bench.runtime)
    assert bench.forks.processes[0].exitcode == -9
    assert bench.supernode.given_up == [FIRST]
    assert bench.supernode.waiting == [SECOND]
    assert not bench.answering.busy


def test_a_dropped_message_that_nobody_claimed_yet_is_claimed_and_given_up() -> None:
    bench = Bench((FIRST,))
    bench.answering.let_go(bench.runtime)
    assert bench.supernode.given_up == [FIRST]
    assert bench.forks.started == []
    bench.answering.let_go(bench.runtime)
    assert bench.supernode.given_up == [FIRST]


def test_an_answer_with_its_whole_message_in_hand_goes_on(bench: Bench) -> None:
    bench.pulled()
    bench.answering.let_go(bench.runtime)
    assert bench.answering.busy
    assert bench.answering.owes
    assert bench.forks.processes[0].exitcode is None
    assert bench.supernode.given_up == []


def test_a_supernode_that_is_away_does_not_end_the_node(bench: Bench) -> None:
    bench.supernode.away = True
    bench.answering.let_go(bench.runtime)
    assert not bench.answering.busy
    assert bench.supernode.given_up == []


@pytest.mark.parametrize(("pulled", "owes"), [(True, True), (False, True), (True, False)])
def test_a_fork_that_died_is_answered_for_if_it_had_its_message_and_the_supernode_waits(
    bench: Bench, pulled: bool, owes: bool
) -> None:
    if pulled:
        bench.pulled()
        bench.answering.look_after()
    bench.answering.owes = owes
    bench.forks.processes[0].exitcode = -9
    bench.answering.look_after()
    assert not bench.answering.busy
    assert bench.told == ["the process that answered ended with code -9; see site.log"]
    crash = ("client.worker:report_crash", FIRST, "/site.yaml", ENVELOPE, -9)
    assert bench.forks.started[1:] == ([crash] if pulled and owes else [])
