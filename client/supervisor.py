"""`wardround site run`: keeps a SuperNode running, answers what it receives, drains on SIGTERM.

All connections go outwards. What listens is the SuperNode's runtime API, on loopback and for the holder of
a secret that is made anew at each start.
"""

import contextlib
import logging
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

import httpx

from client.audit import Audit
from client.control import Control
from client.enrolment import Enrolment
from client.gate import Gate
from client.runtime import Envelope, Runtime, Task
from client.site import Site
from client.site_log import site_log
from shared import __version__
from shared.errors import FederationError
from shared.ports import free_port
from shared.processes import Command, WarmForks, rotating_log
from shared.wire import Record, Scalar

IDLE_S = 1.0
"""The longest pause of the loop; what there is to do wakes it earlier."""
STARTING_S = 0.2
LOOPBACK = "127.0.0.1"
RECEIVED = "Received successfully"
SENT = ("Sent successfully", "Failed to send message", "is not in `RUNNING` status")
"""What the SuperNode prints once a message is there, and once it is done with a reply
(flwr/supernode/start_client_internal.py)."""
DROPPED = "Ignoring message"
"""What it prints when the run of a message ended while the message was under way."""
LOG_DAYS = 14
GREETING_EVERY_S = 3600.0
LONGEST_PAUSE_S = 60.0
DELIVERY_S = 60.0


@dataclass
class Working:
    """One instruction being answered in a fork."""

    task: Task
    process: BaseProcess
    started: Connection
    envelope: Envelope | None = None


@dataclass
class Supervisor:
    """One site's node, until it is told to stop."""

    site_file: Path
    site: Site
    enrolment: Enrolment
    say: Callable[[str], None]
    _log: logging.Logger = field(init=False)
    _audit: Audit = field(init=False)
    _stopping: bool = False
    _owes: bool = False  # a message was taken from the SuperNode and its answer is not on its way yet
    _dropped: bool = False
    _working: Working | None = None
    _greeted: float | None = None
    _awake: threading.Event = field(default_factory=threading.Event)
    _forks: WarmForks = field(default_factory=lambda: WarmForks(["client.worker"]))

    @classmethod
    def of(cls, site_file: Path, say: Callable[[str], None]) -> "Supervisor":
        """Read the site's file; raise FederationError when it is not enrolled."""
        site = Site.read(site_file)
        enrolment = Enrolment.load(site)
        if enrolment is None:
            raise FederationError(
                f"{site.name} is not enrolled. Ask the coordinator for an invite, then: "
                f"wardround site enrol {site_file} --invite INVITE"
            )
        return cls(site_file.resolve(), site, enrolment, say)

    def __post_init__(self) -> None:
        """Open the site's log and audit."""
        self._log = site_log(self.site)
        self._audit = Audit(self.site.work / "audit.jsonl")

    def run(self) -> None:
        """Run until SIGTERM or SIGINT; then finish the answer at hand, deliver it, and end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._audit.append("started")
        self._forks.warm_up()
        self._introduce()
        secret_file, address, supernode = self._supernode()
        runtime = Runtime(address, secret_file.read_bytes())
        try:
            while not self._stopping:
                code = supernode.keep()
                if code is not None:
                    self._tell(
                        f"the SuperNode ended with code {code} and is started again: see supernode.log"
                    )
                    self._drop()
                    self._introduce()
                if self._greeted is None or time.monotonic() - self._greeted > GREETING_EVERY_S:
                    self._introduce(once=True)
                self._let_go(runtime)
                self._take_task(runtime)
                self._wait(IDLE_S if supernode.running else STARTING_S)
            self._drain(supernode)
        finally:
            supernode.stop()
            runtime.close()
            secret_file.unlink(missing_ok=True)
            self._audit.append("stopped")
            self._introduce(once=True)
            self._tell("stopped")

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        if self._stopping:
            self._tell("stopping at once")
            sys.exit(1)
        self._stopping = True
        self._awake.set()

    def _supernode(self) -> tuple[Path, str, Command]:
        folder = self.enrolment.folder
        secret_file = folder / "runtime.secret"
        secret_file.touch(mode=0o600)
        secret_file.write_bytes(secrets.token_bytes(32))
        port = free_port()
        arguments = [
            *(sys.executable, "-m", "client.supernode", str(self.site.poll_s)),
            *("--superlink", self.enrolment.fleet),
            *("--root-certificates", str(self.enrolment.ca_pem)),
            *("--auth-supernode-private-key", str(self.enrolment.private_key)),
            *("--isolation", "process"),
            *("--superexec-auth-secret-file", str(secret_file)),
            *("--host", LOOPBACK, "--port", str(port)),
        ]
        command = Command(
            arguments,
            log=rotating_log(self.site.work / "supernode.log", days=LOG_DAYS),
            environment={"FLWR_HOME": str(folder / "flower")},
            heard=self._heard,
        )
        return secret_file, f"{LOOPBACK}:{port}", command

    def _heard(self, line: str) -> None:
        if any(word in line for word in SENT):
            self._owes = False
            self._awake.set()
        if RECEIVED in line:
            self._awake.set()
        if DROPPED in line:
            self._dropped = True
            self._awake.set()

    def _let_go(self, runtime: Runtime) -> None:
        """Let go of an instruction that the SuperNode has dropped halfway: its rest would be waited for."""
        if not self._dropped:
            return
        self._dropped = False
        if self._working is not None:
            self._look_after(self._working)
        try:
            task = runtime.next_task() if self._working is None else self._working.task
            if self._working is not None and self._working.envelope is not None:
                return  # what is being answered is another one
            self._drop()
            if task is not None:
                runtime.give_up(task)
        except httpx.HTTPError as error:
            self._log.warning("the SuperNode was not told that nobody waits any more: %s", error)

    def _take_task(self, runtime: Runtime) -> None:
        if self._working is not None:
            return
        try:
            task = runtime.next_task()
        except httpx.HTTPError:
            return  # the SuperNode is starting, or starting again
        if task is not None:
            self._owes = True
            receiver, sender = self._forks.pipe()
            process = self._forks.start("client.worker:answer_task", task, str(self.site_file), sender)
            sender.close()
            self._working = Working(task, process, receiver)

    def _wait(self, limit_s: float) -> None:
        """Wait for the answer at hand to be finished, or for word of the SuperNode; `limit_s` at most."""
        if self._working is None:
            self._awake.wait(limit_s)
            self._awake.clear()
            return
        wait([self._working.process.sentinel], timeout=limit_s)
        self._look_after(self._working)

    def _drop(self) -> None:
        """Give up the answer at hand: the SuperNode that asked for it is gone."""
        if self._working is not None:
            self._working.process.kill()
            self._working = None
        self._owes = False

    def _look_after(self, working: Working) -> None:
        if working.envelope is None and working.started.poll():
            # At the end of the file it died before it had the message; the SuperNode then answers for it.
            with contextlib.suppress(EOFError):
                working.envelope = working.started.recv()
        if not working.process.is_alive():
            self._working = None
            self._ended(working)

    def _ended(self, working: Working) -> None:
        code = working.process.exitcode
        if code == 0:
            return
        self._tell(f"the process that answered ended with code {code}; see site.log")
        if working.envelope is not None:
            arguments = (working.task, str(self.site_file), working.envelope, code)
            self._forks.start("client.worker:report_crash", *arguments)

    def _drain(self, supernode: Command) -> None:
        if self._working is not None:
            self._tell("finishing the answer at hand; a second signal stops at once")
        while self._working is not None and supernode.running:
            self._wait(IDLE_S)
        ends = time.monotonic() + DELIVERY_S
        while self._owes and supernode.running and time.monotonic() < ends:
            self._wait(IDLE_S)

    def _introduce(self, *, once: bool = False) -> None:
        """Greet the coordinator; again and again while it is out of reach or would turn this site away."""
        pause_s = 1.0
        while True:
            self._greeted = time.monotonic()
            try:
                if self._greet():
                    return
            except FederationError as error:
                self._tell(str(error))
            if once or self._stopping:
                return
            self._awake.wait(pause_s)
            self._awake.clear()
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)

    def _greet(self) -> bool:
        """Tell the coordinator version, clock and the end of the audit log; returns whether to go on."""
        lines, seal = self._audit.seal()
        facts: dict[str, Scalar] = {"site": self.site.name, "version": __version__, "clock": time.time()}
        record = Record("greeting", {**facts, "audit_lines": lines, "audit_seal": seal})
        with Control(self.enrolment) as control:
            answer = control.greet(Gate(self.site.policy, self._audit).release(record))
        if answer.problem == "clock":
            self._tell(
                f"this machine's clock is {-answer.clock_offset_s:.0f} s ahead of the coordinator's, and "
                "whoever differs by minutes is turned away. Set the clock: timedatectl set-ntp true"
            )
            return False
        if answer.problem == "version":
            self._tell(
                f"this site runs Wardround {__version__}, the coordinator {answer.version}: no study will "
                "run here. Install the same version on both sides."
            )
        if answer.problem == "audit":
            self._tell(
                "the coordinator remembers a longer or another audit log of this site. Find out who changed "
                f"it: wardround site audit verify {self.site_file}"
            )
        self._tell(f"in touch with the coordinator at {self.enrolment.control}")
        return True

    def _tell(self, text: str) -> None:
        self._log.info("%s", text)
        self.say(text)
