"""Which scan is read next. Pure: times in, order out.

A scan's tier is the highest of three: the model's, the clinician's own, and what its wait has made of it.
For each tier above routine the worklist keeps since when model or clinician put the scan at least that high.
A scan that has been in a tier for the longest wait of that tier enters the next one, and so on. Hence

    entered[routine] = when it came
    entered[k]       = the earlier of since[k] and entered[k - 1] + longest wait in k - 1

and its tier is the highest that it has entered. These times are only ever set, never moved on, while it
waits: the tier of a waiting scan cannot fall. When a new calibration says less, the new value is kept and
shown and the tier is held, because nobody has looked at the scan since it was put there. Only a clinician who
orders anew takes away what was held, and only to what the model says now or the wait has made of it.

Within a tier the scan that entered it in an earlier hour comes first; within the hour the more probable one.
A score decides the tier, whose sensitivity was fixed by calibration; deciding by it further down the list
would only lengthen the wait of the patients whom it misses. Baltruschat et al. 2021 (European Radiology)
measured that: with the most probable always first the mean wait fell from 80 to 36 minutes and the longest
rose from 890 to 1293, until waiting was limited. So what one scan costs another of its tier is at most the
scans of one hour. In stat those that a clinician called stat come before those that the model did.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from client.worklist_settings import LongestWait
from shared.priority import Tier

TIERS: tuple[Tier, ...] = ("routine", "urgent", "asap", "stat")
"""FHIR's request priorities, the lowest first."""

Why = Literal["model", "ordered", "held", "waited"]
"""What gives a scan its tier: the model now, a clinician, the model earlier, or its wait."""


@dataclass(frozen=True)
class Scan:
    """What the order depends on; `since` is for urgent, asap, stat: when it was put at least there."""

    case: str
    came: datetime
    since: tuple[datetime | None, datetime | None, datetime | None] = (None, None, None)
    model: Tier | None = None
    ordered: Tier | None = None
    probability: float | None = None


@dataclass(frozen=True)
class Place:
    """The tier in which a scan is read, since when, and why."""

    tier: Tier
    entered: datetime
    why: Why


def rank_of(tier: Tier | None) -> int:
    """0 routine .. 3 stat; no tier counts as routine."""
    return 0 if tier is None else TIERS.index(tier)


def entered(scan: Scan, longest: LongestWait) -> list[datetime | None]:
    """When the scan enters each of the four tiers (4,), in the future too; None: never, as things are."""
    limits = (longest.routine, longest.urgent, longest.asap)
    times: list[datetime | None] = [scan.came]
    for since, limit_h in zip(scan.since, limits, strict=True):
        below = times[-1]
        waited = None if below is None or limit_h is None else below + timedelta(hours=limit_h)
        times.append(min((t for t in (since, waited) if t is not None), default=None))
    return times


def place(scan: Scan, longest: LongestWait, now: datetime) -> Place:
    """Tier of a scan that waits."""
    put = max((k for k, since in enumerate(scan.since, start=1) if since is not None), default=0)
    # What was put there counts whatever the clock says: a scanner's may be ahead of ours.
    reached = {
        k: time
        for k, time in enumerate(entered(scan, longest))
        if time is not None and (k <= put or time <= now)
    }
    top = max(reached)
    return Place(TIERS[top], reached[top], _why(scan, top, put))


def reading_key(scan: Scan, at: Place) -> tuple[int, bool, datetime, float, str]:
    """Sort by this: the next to be read first; total, because no two scans have one case name."""
    called = at.tier == "stat" and scan.ordered == "stat"
    hour = at.entered.replace(minute=0, second=0, microsecond=0)
    return (-rank_of(at.tier), not called, hour, -(scan.probability or 0.0), scan.case)


def in_order(scans: Iterable[Scan], longest: LongestWait, now: datetime) -> list[tuple[Scan, Place]]:
    """All scans, the next to be read first."""
    placed = [(scan, place(scan, longest, now)) for scan in scans]
    return sorted(placed, key=lambda one: reading_key(*one))


def _why(scan: Scan, top: int, put: int) -> Why:
    if scan.ordered is not None and rank_of(scan.ordered) >= top:
        return "ordered"
    if rank_of(scan.model) >= top:  # routine, too, is what the model says or what nobody said otherwise
        return "model"
    return "held" if put >= top else "waited"
