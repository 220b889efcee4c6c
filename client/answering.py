"""The instruction at hand: claimed from the SuperNode, answered in a fork, let go when nobody waits."""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import httpx

from client.runtime import Envelope, Runtime, Task
from shared.processes import WarmForks


@dataclass
class _Fork:
    """One instruction being answered; `envelope` is there once the fork has pulled the message."""

    task: Task
    process: BaseProcess
    started: Connection
    envelope: Envelope | None = None


class Answering:
    """At most one instruction at a time; `tell` is for the person at the hospital."""

    def __init__(
        self, site_file: Path, *, forks: WarmForks, tell: Callable[[str], None], log: logging.Logger
    ) -> None:
        self._site_file = site_file
        self._forks = forks
        self._tell = tell
        self._log = log
        self._fork: _Fork | None = None
        self.owes = False
        """Whether an instruction was claimed and the SuperNode is not done yet with its answer."""

    @property
    def busy(self) -> bool:
        """Whether a fork is at work."""
        return self._fork is not None

    @property
    def sentinels(self) -> list[int]:
        """Descriptors that are ready when the fork has ended."""
        return [] if self._fork is None else [self._fork.process.sentinel]

    def take(self, runtime: Runtime) -> None:
        """Claim the next instruction and start to answer it, unless one is at hand or none waits."""
        if self._fork is not None:
            return
        try:
            task = runtime.next_task()
        except httpx.HTTPError:
            return  # the SuperNode is starting, or starting again
        if task is not None:
            self.owes = True
            receiver, sender = self._forks.pipe()
            process = self._forks.start("client.worker:answer_task", task, str(self._site_file), sender)
            sender.close()
            self._fork = _Fork(task, process, receiver)

    def look_after(self) -> None:
        """Note how far the fork is; for one that died with the message in its hands, have that answered."""
        fork = self._fork
        if fork is None:
            return
        if fork.envelope is None and fork.started.poll():
            # At the end of the file it died before it had the message; the SuperNode then answers for it.
            with contextlib.suppress(EOFError):
                fork.envelope = fork.started.recv()
        if not fork.process.is_alive():
            self._fork = None
            self._ended(fork)

    def let_go(self, runtime: Runtime) -> None:
        """Let go of an instruction that the SuperNode has dropped halfway: its rest would be waited for.

        What is being answered already, with the whole message in hand, is another one and goes on.
        """
        self.look_after()
        try:
            task = runtime.next_task() if self._fork is None else self._fork.task
            if self._fork is not None and self._fork.envelope is not None:
                return
            self.drop()
            if task is not None:
                runtime.give_up(task)
        except httpx.HTTPError as error:
            self._log.warning("the SuperNode was not told that nobody waits any more: %s", error)

    def drop(self) -> None:
        """Give up the instruction at hand: nobody waits for its answer."""
        if self._fork is not None:
            self._fork.process.kill()
            self._fork = None
        self.owes = False

    def _ended(self, fork: _Fork) -> None:
        code = fork.process.exitcode
        if code == 0:
            return
        self._tell(f"the process that answered ended with code {code}; see site.log")
        if fork.envelope is not None and self.owes:  # a second answer would be taken for the next one's
            arguments = (fork.task, str(self._site_file), fork.envelope, code)
            self._forks.start("client.worker:report_crash", *arguments)
