"""What the coordinator says: asked in the background while somebody looks, so that no page waits for it.

A site is told of all runs, and of the sites only what it did itself (server/status.py).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock, Thread

from client.asked import read_study
from client.control import Control
from client.membership import Enrolment
from client.site import Site
from shared.control import control_pb2 as pb
from shared.errors import FederationError, WardroundError
from shared.study import Study

TIMEOUT_S = 4.0
EVERY_S = 4.0
"""So often the coordinator is asked, however many people look."""
OPEN = ("waiting", "running", "stopping")


@dataclass(frozen=True)
class Told:
    """What was heard last.

    enrolled_with : host:port of the control service; None where this site is not enrolled
    heard : when the coordinator answered last, UTC; None if it has not since the pages were started
    studies : what its open runs ask, by digest
    unread : studies that cannot be read here, in words
    error : why the last attempt failed, in words
    """

    enrolled_with: str | None = None
    asked: bool = False
    heard: datetime | None = None
    status: pb.Status | None = None
    studies: dict[str, Study] | None = None
    study_of_run: dict[str, str] | None = None
    unread: tuple[str, ...] = ()
    error: str | None = None

    @property
    def runs(self) -> list[pb.RunStatus]:
        """Runs that are not over."""
        return [run for run in self.status.runs if run.state in OPEN] if self.status else []

    @property
    def over(self) -> list[pb.RunStatus]:
        """Runs that are over."""
        return [run for run in self.status.runs if run.state not in OPEN] if self.status else []

    @property
    def me(self) -> pb.SiteStatus | None:
        """Return what the coordinator says of this site."""
        return next(iter(self.status.sites), None) if self.status else None

    def run_of(self, digest: str) -> pb.RunStatus | None:
        """Return the open run of a study, if there is one."""
        by_run = self.study_of_run or {}
        return next((run for run in self.runs if by_run.get(run.id) == digest), None)


class Elsewhere:
    """Asks the coordinator for one site; `told` never waits."""

    def __init__(self, site: Site, ask: Callable[[Enrolment], Told] | None = None) -> None:
        self._site = site
        self._ask = ask or ask_coordinator
        self._told = Told()
        self._lock = Lock()
        self._asking: Thread | None = None
        self._asked_at = -EVERY_S

    def told(self) -> Told:
        """Return what is known, and see to it that it is asked again soon."""
        enrolment = Enrolment.load(self._site)
        if enrolment is None:
            return Told()
        with self._lock:
            idle = self._asking is None or not self._asking.is_alive()
            if idle and time.monotonic() - self._asked_at >= EVERY_S:
                self._asked_at = time.monotonic()
                self._asking = Thread(target=self._refresh, args=(enrolment,), daemon=True)
                self._asking.start()
            known = self._told
        if known.enrolled_with == enrolment.control:
            return known
        return Told(enrolled_with=enrolment.control)

    def wait(self, limit_s: float) -> None:
        """Wait until the question that is under way is answered; `limit_s` at most."""
        with self._lock:
            asking = self._asking
        if asking is not None:
            asking.join(limit_s)

    def _refresh(self, enrolment: Enrolment) -> None:
        try:
            found = self._ask(enrolment)
        except WardroundError as error:
            found = self._failed(enrolment, str(error))
        except Exception as error:
            found = self._failed(enrolment, f"the coordinator could not be asked: {type(error).__name__}")
        with self._lock:
            self._told = found

    def _failed(self, enrolment: Enrolment, text: str) -> Told:
        """Keep what was heard before, and say that it is old."""
        old = self._told
        same = old.enrolled_with == enrolment.control
        return Told(
            enrolment.control,
            asked=True,
            heard=old.heard if same else None,
            status=old.status if same else None,
            studies=old.studies if same else None,
            study_of_run=old.study_of_run if same else None,
            error=text,
        )


def ask_coordinator(enrolment: Enrolment) -> Told:
    """Ask once; raise FederationError where there is no answer within `TIMEOUT_S`, twice that at most."""
    studies, by_run, unread = {}, {}, []
    with Control(enrolment, timeout_s=TIMEOUT_S) as control:
        (status,) = control.watch(follow=False)
        for sent in control.study():
            try:
                study = read_study(sent, enrolment)
            except FederationError as error:
                unread.append(str(error))
                continue
            studies[study.digest()] = study
            by_run[sent.run] = study.digest()
    return Told(
        enrolment.control,
        asked=True,
        heard=datetime.now(UTC),
        status=status,
        studies=studies,
        study_of_run=by_run,
        unread=tuple(unread),
    )
