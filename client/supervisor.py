"""`wardround site run`: keeps a SuperNode running, answers what it receives, drains on SIGTERM.

All connections go outwards. What listens is the SuperNode's runtime API, on loopback and for the holder of
a secret that is made anew at each start.
"""

import logging
import secrets
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from client.answering import Answering
from client.audit import Audit
from client.bell import Bell
from client.greeting import Greeter
from client.membership import Enrolment
from client.runtime import Runtime
from client.site import Site
from client.site_log import site_log
from shared.errors import FederationError
from shared.ports import free_port
from shared.processes import Command, WarmForks, rotating_log

IDLE_S = 1.0
"""The longest pause of the loop; what there is to do wakes it earlier."""
STARTING_S = 0.2
LOOPBACK = "127.0.0.1"
RECEIVED = "Received successfully"
LOST = "Failed to send message"
SENT = ("Sent successfully", LOST, "is not in `RUNNING` status")
"""What the SuperNode prints once a message is there, and once it is done with a reply
(flwr/supernode/start_client_internal.py)."""
DROPPED = "Ignoring message"
"""What it prints when the run of a message ended while the message was under way."""
LOG_DAYS = 14
DELIVERY_S = 60.0


@dataclass
class Supervisor:
    """One site's node, until it is told to stop."""

    site_file: Path
    site: Site
    enrolment: Enrolment
    say: Callable[[str], None]
    _log: logging.Logger = field(init=False)
    _audit: Audit = field(init=False)
    _greeter: Greeter = field(init=False)
    _answering: Answering = field(init=False)
    _stopping: bool = False
    _dropped: bool = False
    _bell: Bell = field(default_factory=Bell)
    _forks: WarmForks = field(default_factory=lambda: WarmForks(["client.warm", "client.worker"]))

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
        self._greeter = Greeter(self.site_file, self.site, self.enrolment, self._audit, self._tell)
        self._answering = Answering(self.site_file, forks=self._forks, tell=self._tell, log=self._log)

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
                    self._answering.drop()
                    self._introduce()
                if self._greeter.due:
                    self._introduce(once=True)
                if self._dropped:
                    self._dropped = False
                    self._answering.let_go(runtime)
                self._answering.take(runtime)
                self._wait(IDLE_S if supernode.running else STARTING_S)
            self._drain(supernode)
        except SystemExit:
            self._tell("stopping at once")
            raise
        finally:
            supernode.stop()
            runtime.close()
            secret_file.unlink(missing_ok=True)
            self._audit.append("stopped")
            self._introduce(once=True)
            self._tell("stopped")

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal; it takes no lock, since what it interrupts may hold it."""
        if self._stopping:
            sys.exit(1)
        self._stopping = True
        self._bell.ring()

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
        """Take in what the SuperNode printed; runs on the thread that listens to it."""
        if any(word in line for word in SENT):
            self._answering.owes = False
            self._bell.ring()
        if LOST in line:
            self._tell(
                "an answer was not taken by the coordinator, which now waits for it to its deadline; "
                "supernode.log says why (413: it is larger than the coordinator's max_message_mb)"
            )
        if RECEIVED in line:
            self._bell.ring()
        if DROPPED in line:
            self._dropped = True
            self._bell.ring()

    def _wait(self, limit_s: float) -> None:
        """Wait for the bell or for the end of the answer at hand; `limit_s` at most."""
        self._bell.wait(limit_s, self._answering.sentinels)
        self._answering.look_after()

    def _drain(self, supernode: Command) -> None:
        if self._answering.busy:
            self._tell("finishing the answer at hand; a second signal stops at once")
        while self._answering.busy and supernode.running:
            self._wait(IDLE_S)
        ends = time.monotonic() + DELIVERY_S
        while self._answering.owes and supernode.running and time.monotonic() < ends:
            self._wait(IDLE_S)

    def _introduce(self, *, once: bool = False) -> None:
        """Greet the coordinator; again and again unless `once`, or until this node is told to stop."""

        def pause(limit_s: float) -> bool:
            if not (once or self._stopping):
                self._bell.wait(limit_s)
            return not (once or self._stopping)

        self._greeter.greet_until_heard(pause)

    def _tell(self, text: str) -> None:
        self._log.info("%s", text)
        self.say(text)
