"""Greeting the coordinator: the node is there, with which version, clock and end of its audit log."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from client.audit import Audit
from client.control import Control
from client.gate import Gate
from client.membership import Enrolment
from client.site import Site
from shared import __version__
from shared.errors import FederationError
from shared.wire import Record, Scalar

GREETING_EVERY_S = 3600.0
LONGEST_PAUSE_S = 60.0


@dataclass
class Greeter:
    """Says for one site that it is there; `tell` is for the person at the hospital."""

    site_file: Path
    site: Site
    enrolment: Enrolment
    audit: Audit
    tell: Callable[[str], None]
    _greeted: float | None = None

    @property
    def due(self) -> bool:
        """Whether the last attempt was an hour ago, or there was none."""
        return self._greeted is None or time.monotonic() - self._greeted > GREETING_EVERY_S

    def greet(self) -> bool:
        """Greet once; False while the coordinator is out of reach or would turn this site away."""
        self._greeted = time.monotonic()
        try:
            return self._send()
        except FederationError as error:
            self.tell(str(error))
            return False

    def greet_until_heard(self, pause: Callable[[float], bool]) -> None:
        """Greet again and again; `pause` waits at most so many seconds and says whether to go on."""
        pause_s = 1.0
        while not self.greet() and pause(pause_s):
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)

    def _send(self) -> bool:
        lines, seal = self.audit.seal()
        facts: dict[str, Scalar] = {"site": self.site.name, "version": __version__, "clock": time.time()}
        record = Record("greeting", {**facts, "audit_lines": lines, "audit_seal": seal})
        with Control(self.enrolment) as control:
            answer = control.greet(Gate(self.site.policy, self.audit).release(record))
        if answer.problem == "clock":
            self.tell(
                f"this machine's clock is {-answer.clock_offset_s:.0f} s ahead of the coordinator's, and "
                "whoever differs by minutes is turned away. Set the clock: timedatectl set-ntp true"
            )
            return False
        if answer.problem == "version":
            self.tell(
                f"this site runs Wardround {__version__}, the coordinator {answer.version}: no study will "
                "run here. Install the same version on both sides."
            )
        if answer.problem == "audit":
            self.tell(
                "the coordinator remembers a longer or another audit log of this site. Find out who changed "
                f"it: wardround site audit verify {self.site_file}"
            )
        self.tell(f"in touch with the coordinator at {self.enrolment.control}")
        return True
