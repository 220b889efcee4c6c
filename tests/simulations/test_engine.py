"""The inline engine: Flower's Grid in this process, sites apart, nobody able to hold up the others."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict

from simulations.engine import MOST_WAITING, InlineGrid

App = Callable[[Message, Context], Message]


@pytest.fixture
def grid_of() -> Iterator[Callable[..., InlineGrid]]:
    grids: list[InlineGrid] = []

    def make(app: App, sites: int, workers: int = 2) -> InlineGrid:
        files = [Path(f"/sites/{number}.yaml") for number in range(sites)]
        grids.append(InlineGrid(app, files, workers=workers))  # type: ignore[arg-type]
        return grids[-1]

    yield make
    for grid in grids:
        grid.close()


def send(grid: InlineGrid, *nodes: int, number: int = 0) -> list[str]:
    content = RecordDict({"fields": ConfigRecord({"number": number})})
    return list(grid.push_messages([Message(content, node, "train") for node in nodes]))


def wait_for(grid: InlineGrid, ids: list[str], count: int, limit_s: float = 60.0) -> list[Message]:
    found: list[Message] = []
    until = time.monotonic() + limit_s
    while len(found) < count and time.monotonic() < until:
        found += list(grid.pull_messages(ids))
    return found


def echo(message: Message, context: Context) -> Message:
    fields = ConfigRecord(
        {**message.content.config_records["fields"], "site": str(context.node_config["site"])}
    )
    return Message(RecordDict({"fields": fields}), reply_to=message)


def test_each_site_answers_its_own_message_once(grid_of: Callable[..., InlineGrid]) -> None:
    grid = grid_of(echo, 3)
    assert list(grid.get_node_ids()) == [1, 2, 3]
    ids = send(grid, 1, 2, 3)
    replies = wait_for(grid, ids, 3)
    by_message = {r.metadata.reply_to_message_id: r for r in replies}
    for number, identity in enumerate(ids):
        assert by_message[identity].content.config_records["fields"]["site"] == f"/sites/{number}.yaml"
    assert list(grid.pull_messages(ids)) == []


def test_a_sites_messages_are_answered_in_order(grid_of: Callable[..., InlineGrid]) -> None:
    seen: list[object] = []

    def app(message: Message, context: Context) -> Message:
        seen.append(message.content.config_records["fields"]["number"])
        return echo(message, context)

    grid = grid_of(app, 1)
    ids = [identity for number in range(20) for identity in send(grid, 1, number=number)]
    wait_for(grid, ids, 20)
    assert seen == list(range(20))


def test_an_app_that_lets_an_exception_out_becomes_an_error_and_the_site_lives_on(
    grid_of: Callable[..., InlineGrid], caplog: pytest.LogCaptureFixture
) -> None:
    def app(message: Message, context: Context) -> Message:
        if message.content.config_records["fields"]["number"] == 0:
            raise RuntimeError("/data/patient-7/scan.nii.gz")
        return echo(message, context)

    grid = grid_of(app, 1)
    (broken,) = wait_for(grid, send(grid, 1, number=0), 1)
    assert broken.has_error()
    assert broken.error.code == 2
    assert "patient" not in str(broken.error.reason)
    (healthy,) = wait_for(grid, send(grid, 1, number=1), 1)
    assert not healthy.has_error()
    assert len(caplog.records) == 1


def test_at_most_workers_sites_compute_at_the_same_time(grid_of: Callable[..., InlineGrid]) -> None:
    lock, state = threading.Lock(), {"now": 0, "most": 0}

    def app(message: Message, context: Context) -> Message:
        with lock:
            state["now"] += 1
            state["most"] = max(state["most"], state["now"])
        time.sleep(0.03)
        with lock:
            state["now"] -= 1
        return echo(message, context)

    grid = grid_of(app, 6, 2)
    assert len(wait_for(grid, send(grid, *range(1, 7)), 6)) == 6
    assert state["most"] == 2


def test_a_site_that_never_answers_holds_up_nobody(grid_of: Callable[..., InlineGrid]) -> None:
    release = threading.Event()

    def app(message: Message, context: Context) -> Message:
        if context.node_id == 1:
            release.wait(60)
        return echo(message, context)

    grid = grid_of(app, 3)
    replies = wait_for(grid, send(grid, 1, 2, 3), 2, limit_s=30)
    release.set()
    assert sorted(r.metadata.src_node_id for r in replies) == [2, 3]


def test_after_closing_the_threads_end(grid_of: Callable[..., InlineGrid]) -> None:
    before = set(threading.enumerate())
    grid = grid_of(echo, 4)
    threads = set(threading.enumerate()) - before
    assert len(threads) == 4
    grid.close()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


def test_sending_and_receiving_waits_for_all_replies_or_for_the_time_given(
    grid_of: Callable[..., InlineGrid],
) -> None:
    let_go = threading.Event()

    def second_is_late(message: Message, context: Context) -> Message:
        if message.metadata.dst_node_id == 2:
            let_go.wait(60)
        return echo(message, context)

    grid = grid_of(second_is_late, 2)
    content = RecordDict({"fields": ConfigRecord({"number": 0})})
    replies = list(grid.send_and_receive([Message(content, n, "train") for n in (1, 2)], timeout=3))
    assert [r.metadata.src_node_id for r in replies] == [1]
    let_go.set()
    replies = list(grid.send_and_receive([Message(content, n, "train") for n in (1, 2)]))
    assert sorted(r.metadata.src_node_id for r in replies) == [1, 2]


def test_however_many_sites_there_are_few_replies_wait(grid_of: Callable[..., InlineGrid]) -> None:
    lock, answered = threading.Lock(), []

    def app(message: Message, context: Context) -> Message:
        with lock:
            answered.append(context.node_id)
        return echo(message, context)

    grid = grid_of(app, 40, 2)
    ids = send(grid, *range(1, 41))
    until = time.monotonic() + 60
    while len(answered) < MOST_WAITING + 2 and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.3)  # time enough for the others, if anything let them
    assert len(answered) == MOST_WAITING + 2
    assert len(grid._replies) == MOST_WAITING
    assert len(wait_for(grid, ids, 40)) == 40


def test_replies_that_nobody_waits_for_are_dropped_and_hold_up_nobody(
    grid_of: Callable[..., InlineGrid],
) -> None:
    answered: list[int] = []

    def app(message: Message, context: Context) -> Message:
        answered.append(context.node_id)
        return echo(message, context)

    grid = grid_of(app, 20, 2)
    late = send(grid, *range(1, 21))
    (awaited,) = send(grid, 7, number=1)
    (reply,) = wait_for(grid, [awaited], 1)
    assert reply.metadata.reply_to_message_id == awaited
    until = time.monotonic() + 60
    while len(answered) < 21 and time.monotonic() < until:
        grid.pull_messages(["another"])
    grid.pull_messages(["another"])
    assert list(grid.pull_messages(late)) == []
