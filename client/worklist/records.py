"""What the worklist says of a scan. Times are in UTC; what is None is not known, or has not happened."""

from dataclasses import dataclass
from datetime import datetime

from client.worklist.order import Why
from shared.priority import Tier


@dataclass(frozen=True)
class Row:
    """One line of the worklist; times are in UTC. Where there is no calibration the model's part is None."""

    rank: int | None  # among the scans not yet read; None for one that was
    case: str
    patient: str
    tier: Tier  # in which it is read
    why: Why  # what gives it that tier
    model_tier: Tier | None
    ordered: Tier | None  # the clinician's own
    probability: float | None
    low: float | None  # of the 95 % interval
    high: float | None
    log_odds: float | None
    state: str
    reader: str | None
    arrived: datetime
    waiting_since: datetime
    entered: datetime  # its tier
    state_since: datetime
    claimed: datetime | None
    finished: datetime | None
    reasons: tuple[str, ...]  # the strongest first
    missing: tuple[str, ...]
    warnings: tuple[str, ...]
    weights_digest: str
    calibration_digest: str | None
    result: str | None


@dataclass(frozen=True)
class Arrival:
    """When one scan came and was read, and as what; for what the order saves."""

    arrived: datetime
    claimed: datetime | None
    finished: datetime | None
    tier: Tier | None  # the model's
    probability: float | None


@dataclass(frozen=True)
class Waited:
    """How long one scan waited: since when, until a reader took it (None: it waits still)."""

    came: datetime
    taken: datetime | None
    raised: bool  # model or clinician put it above routine


@dataclass(frozen=True)
class Given:
    """One priority that a scan was given."""

    made: datetime
    why: str
    tier: Tier
    probability: float
    weights_digest: str
    calibration_digest: str | None


@dataclass(frozen=True)
class Happened:
    """One thing that happened to a scan."""

    time: datetime
    what: str
    by: str
    tier: Tier | None
