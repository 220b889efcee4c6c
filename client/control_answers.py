"""What the coordinator's control service answers, and what to do about each of its refusals."""

from dataclasses import dataclass

CURES = {
    "unknown": "The coordinator does not know this invite. Copy the whole line, or ask for a new invite.",
    "other_site": "This invite is for another site. Ask for one for this site's name.",
    "used": "This invite was used already. If that was not you, tell the coordinator; ask for a new invite.",
    "withdrawn": "This invite was withdrawn, perhaps for a newer one. Use the newest, or ask for another.",
    "expired": "This invite has expired. Ask the coordinator for a new one.",
    "enrolled": "A site of this name is enrolled. Ask for an invite made with --replace.",
    "proof": "The coordinator could not check this site's key. Install the same Wardround on both sides.",
    "too_many": "Too many attempts came from here. Wait a minute and try again.",
    "unknown_site": "The coordinator does not know this site. Ask for an invite and enrol.",
    "signature": "The coordinator knows this site by another key. Ask for an invite made with --replace.",
    "revoked": "The coordinator has revoked this site. Ask why; a new invite lets it enrol again.",
    "clock": "This machine's clock is more than 120 s from the coordinator's. Set it by NTP.",
}


@dataclass(frozen=True)
class Greeting:
    """What the coordinator answers to a greeting; `problem` is "", "audit", "version" or "clock"."""

    clock_offset_s: float
    version: str
    bundle: str
    problem: str


@dataclass(frozen=True)
class Admitted:
    """What the coordinator answers to an enrolment; `node_id` is 0 while Flower does not know the node."""

    node_id: int
    fleet: str
    version: str
    bundle: str
    clock_offset_s: float


@dataclass(frozen=True)
class RunStudy:
    """One run and the study it is about, as YAML."""

    run: str
    state: str
    digest: str
    study: str


@dataclass(frozen=True)
class Reached:
    """What a look at the coordinator found; the offset is its clock minus this site's."""

    clock_offset_s: float
    version: str
    bundle: str
    certificate_days_left: float
