"""Whether this machine is ready to be a node, line by line with a cure, before anything joins.

Every check stands on its own: one that fails, in whatever way, never hides the others. Nothing is changed,
and nothing is sent but one signed question to the coordinator, if the site is enrolled.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from client.check_line import Line
from client.readiness import CHECKS
from client.site import Site
from client.study_check import check_study
from shared import __version__
from shared.errors import FederationError, WardroundError
from shared.study import Study

CLOCK_WARNING_S, CLOCK_PROBLEM_S = 30, 120
CERTIFICATE_WARNING_DAYS = 14


class Membership(Protocol):
    """What is read of client.membership.Enrolment."""

    @property
    def control(self) -> str:
        """Address of the control service, host:port."""

    @property
    def node_id(self) -> int:
        """Number by which Flower knows this node; 0 while it does not."""


class Reached(Protocol):
    """What a look at the coordinator brings back; the offset is its clock minus this one."""

    @property
    def clock_offset_s(self) -> float:
        """Seconds."""

    @property
    def version(self) -> str:
        """The coordinator's Wardround."""

    @property
    def bundle(self) -> str:
        """SHA-256 of the app that the coordinator sends."""

    @property
    def certificate_days_left(self) -> float:
        """Days; negative once it has expired."""


@dataclass(frozen=True)
class Surroundings:
    """What the checks ask of the world outside the site's own files.

    membership : the site's enrolment, None before it
    reach : looks at the coordinator once; raises FederationError
    bundle : SHA-256 of the app built from what is installed here
    """

    membership: Callable[[Site], Membership | None]
    reach: Callable[[Membership], Reached]
    bundle: Callable[[], str]


def preflight(
    site_file: Path,
    around: Surroundings,
    study: Callable[[Site], Study] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Line]:
    """Check everything; yields each line as soon as it is known.

    With a `study`, every case is prepared as that study would (study_check.py); `progress` is called with
    (cases done, cases in all).
    """
    try:
        site = Site.read(site_file)
    except WardroundError as error:
        yield Line("site file", "problem", str(error), "Nothing else was checked.", error.exit_code)
        return
    yield Line("site file", "ok", f"{site_file} describes {site.name}")
    for name, check in CHECKS:
        yield from _kept_apart(name, lambda check=check: check(site))  # type: ignore[misc]
    if study is not None:
        yield from _kept_apart("study", lambda: check_study(site, study(site), progress))
    yield from _kept_apart("coordinator", lambda: _coordinator(site, site_file, around))


def exit_code(lines: list[Line]) -> int:
    """Find the exit code of the first problem; 0 if there is none."""
    return next((line.exit_code or 1 for line in lines if line.state == "problem"), 0)


def as_json(lines: list[Line]) -> list[dict[str, str | int]]:
    """Values for programs."""
    return [asdict(line) for line in lines]


def _kept_apart(name: str, check: Callable[[], Iterator[Line]]) -> Iterator[Line]:
    """Run one check; whatever it raises becomes a line."""
    try:
        yield from check()
    except WardroundError as error:
        yield Line(name, "problem", str(error), exit_code=error.exit_code)  # our messages hold the cure
    except Exception as error:  # a check that breaks must not hide the others
        found = f"could not be checked: {type(error).__name__}: {error}"
        yield Line(name, "problem", found, "Correct what the finding names, or report it as a fault.", 1)


def _coordinator(site: Site, site_file: Path, around: Surroundings) -> Iterator[Line]:
    names = ("coordinator", "certificate", "clock", "version")
    membership = around.membership(site)
    if membership is None:
        cure = f"Ask the coordinator for an invite, then: wardround site enrol {site_file} --invite INVITE"
        yield Line("enrolment", "not yet", "this site is not enrolled", cure)
        for name in names:
            yield Line(name, "not yet", "is checked once the site is enrolled")
        return
    yield Line("enrolment", "ok", f"enrolled with {membership.control} as node {membership.node_id}")
    try:
        reached = around.reach(membership)
    except FederationError as error:
        yield Line("coordinator", "problem", str(error), exit_code=error.exit_code)
        for name in names[1:]:
            yield Line(name, "not yet", "is checked once the coordinator answers")
        return
    yield Line("coordinator", "ok", f"{membership.control} answers")
    yield _certificate_line(reached)
    yield _clock_line(reached)
    yield _version_line(reached, around.bundle())


def _certificate_line(reached: Reached) -> Line:
    days = reached.certificate_days_left
    found, cure = f"{days:.0f} days left", "Ask the coordinator to run `wardround coordinator renew`."
    if days < 0:
        return Line("certificate", "problem", f"expired {-days:.0f} days ago", cure, 5)
    if days < CERTIFICATE_WARNING_DAYS:
        return Line("certificate", "warning", found, cure)
    return Line("certificate", "ok", found)


def _clock_line(reached: Reached) -> Line:
    offset = reached.clock_offset_s
    found = f"{abs(offset):.0f} s {'behind' if offset > 0 else 'ahead of'} the coordinator's"
    cure = "Set this machine's clock by NTP, and look at the time zone."
    if abs(offset) > CLOCK_PROBLEM_S:
        return Line("clock", "problem", found, cure, 5)
    return Line("clock", "warning" if abs(offset) > CLOCK_WARNING_S else "ok", found, cure)


def _version_line(reached: Reached, own: str) -> Line:
    found = f"{__version__} here, {reached.version} at the coordinator"
    cure = "Install the coordinator's version: this node runs nothing but what is installed here."
    if reached.version != __version__ or reached.bundle != own:
        same = "" if reached.version != __version__ else ", of another build"
        return Line("version", "problem", found + same, cure, 5)
    return Line("version", "ok", found)
