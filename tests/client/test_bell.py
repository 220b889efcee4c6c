"""The bell that wakes the node's loop."""

import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import Pipe
from types import FrameType
from typing import Any

import pytest

from client.bell import Bell

LONG_S = 20.0


def seconds(action: Callable[[], None]) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start


def test_a_bell_that_was_rung_before_is_heard_once() -> None:
    bell = Bell()
    for _ in range(3):
        bell.ring()
    assert seconds(lambda: bell.wait(LONG_S)) < LONG_S / 2
    assert seconds(lambda: bell.wait(0.05)) >= 0.05


def test_another_thread_wakes_the_loop() -> None:
    bell = Bell()
    threading.Timer(0.05, bell.ring).start()
    assert seconds(lambda: bell.wait(LONG_S)) < LONG_S / 2


def test_what_else_is_waited_for_wakes_the_loop() -> None:
    bell = Bell()
    receiver, sender = Pipe(duplex=False)
    sender.close()
    assert seconds(lambda: bell.wait(LONG_S, [receiver.fileno()])) < LONG_S / 2
    receiver.close()


def test_a_signal_wakes_the_loop() -> None:
    bell = Bell()
    before = signal.signal(signal.SIGUSR1, lambda *_: bell.ring())
    try:
        threading.Timer(0.05, signal.pthread_kill, (threading.get_ident(), signal.SIGUSR1)).start()
        assert seconds(lambda: bell.wait(LONG_S)) < LONG_S / 2
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_bell_that_nobody_hears_never_blocks_who_rings_it() -> None:
    bell = Bell()
    for _ in range(70_000):  # more than a pipe holds
        bell.ring()
    bell.wait(LONG_S)
    assert seconds(lambda: bell.wait(0.05)) >= 0.05


@pytest.mark.parametrize("interrupted", ["ring", "wait"])
def test_it_may_be_rung_in_the_middle_of_anything_as_a_signal_handler_does(interrupted: str) -> None:
    bell = Bell()
    rung = 0

    def interrupt(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal rung
        sys.settrace(None)
        if event == "line":
            bell.ring()
            rung += 1
        sys.settrace(interrupt)
        return interrupt

    def loop() -> None:
        sys.settrace(interrupt)
        bell.ring() if interrupted == "ring" else bell.wait(0.0)
        sys.settrace(None)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    thread.join(LONG_S)
    assert not thread.is_alive(), "it waits for a lock that the interrupted code holds"
    assert rung > 0
