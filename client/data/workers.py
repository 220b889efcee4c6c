"""Cases in processes: one that dies takes no other case with it, and none outlives the command."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int
) -> Iterator[tuple[Job, Result | None]]:
    """Yield each job with what the function returns for it, in the order in which they end.

    With one worker this process does the work. With more, processes do, and no more cases are under way than
    there are workers. If a process dies, each of these is tried again alone; None stands for the result of
    the one that kills its process again.
    """
    if min(workers, len(jobs)) <= 1:
        yield from ((job, function(job)) for job in jobs)
        return
    waiting = list(jobs[::-1])
    while waiting:
        suspects: list[Job] = []
        yield from _in_one_pool(function, waiting, suspects, min(workers, len(waiting)))
        for job in suspects:
            again: list[Job] = []
            yield from _in_one_pool(function, [job], again, 1)
            yield from ((dead, None) for dead in again)


def _in_one_pool(
    function: Callable[[Job], Result], waiting: list[Job], suspects: list[Job], workers: int
) -> Iterator[tuple[Job, Result]]:
    """Take jobs from the end of `waiting` until it is empty or a process dies; those are then `suspects`."""
    under_way: dict[Future[Result], Job] = {}
    # spawn: a fork would hold the lock of the folder for as long as it lives
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_started)
    try:
        while (waiting and not suspects) or under_way:
            while waiting and not suspects and len(under_way) < workers:
                job = waiting.pop()
                try:
                    under_way[pool.submit(function, job)] = job
                except BrokenProcessPool:
                    suspects.append(job)
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                job = under_way.pop(future)
                try:
                    result = future.result()
                except BrokenProcessPool:
                    suspects.append(job)
                else:
                    yield job, result
    finally:
        pool.shutdown(cancel_futures=True)  # after ctrl-C, what was begun is ended and nothing else begun


def _started() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when it is enough
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
    os._exit(1)
