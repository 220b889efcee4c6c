"""The same patients read in several orders, simulated and compared.

Every policy meets the same arrivals and the same reading times, so that what differs is the order alone.
Confidence intervals are of batch means (Law, Simulation Modeling and Analysis, 5th ed., 9.5.3).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from shared.errors import ConfigError
from shared.queueing.arrivals import Arrivals
from shared.queueing.classes import Reading, Triage
from shared.queueing.hours import WEEK_MINUTES, Hours
from shared.queueing.simulate import Room, waits
from shared.queueing.times import Times
from shared.sums import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]

BATCHES = 20
WARM_UP = 0.05
FEWEST_SCANS = 1000


@dataclass(frozen=True, eq=False)
class Scans:
    """Drawn scans, all (n,): arrival and reading in minutes, tier of `tiers` (0 the top one), and the truth.

    An emergency has tier -1 and is neither diseased nor other.
    """

    arrive: FloatArray
    minutes: FloatArray
    tier: IntArray
    diseased: BoolArray
    tiers: int

    @property
    def groups(self) -> Mapping[str, BoolArray]:
        """Who is in which group; the missed are the diseased in the lowest tier."""
        ranked = self.tier >= 0
        return {
            "diseased": self.diseased,
            "others": ranked & ~self.diseased,
            "missed": self.diseased & (self.tier == self.tiers - 1),
        }


@dataclass(frozen=True)
class Policy:
    """An order: the tiers, or none, and for each (k,) the wait in minutes after which a scan moves up.

    The first of these, the top tier's, means nothing.
    """

    tiers: bool
    longest_minutes: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Summary:
    """Waits of one group in minutes; the mean is within `half_width` with 95 % confidence."""

    scans: int
    mean: float
    half_width: float
    percentile_95: float
    maximum: float


def draw(
    triage: Triage,
    reading: Reading,
    *,
    arrivals: Arrivals,
    times: Times,
    hours: Hours,
    count: int,
    generator: np.random.Generator,
) -> Scans:
    """Draw `count` scans; the arrivals are brought to the rate that makes the reading room's load."""
    if count < FEWEST_SCANS:
        raise ConfigError(f"{count} scans, expected {FEWEST_SCANS} at least: fewer tell nothing.")
    rate = reading.per_minute(triage.prevalence) * hours.open_minutes / WEEK_MINUTES
    arrive = arrivals.scaled(rate).draw(count, generator)
    emergency = generator.random(count) < reading.emergency_share
    diseased = ~emergency & (generator.random(count) < triage.prevalence)
    chance, tier = generator.random(count), np.full(count, -1)
    for who, shares in ((diseased, triage.diseased), (~emergency & ~diseased, triage.others)):
        tier[who] = np.searchsorted(np.cumsum(shares)[:-1], chance[who], side="right")
    mean = np.where(diseased, reading.diseased_minutes, reading.other_minutes)
    mean[emergency] = reading.emergency_minutes
    return Scans(arrive, mean * times.draw(count, generator), tier, diseased, len(triage.diseased))


def simulate(
    scans: Scans, reading: Reading, policies: Mapping[str, Policy], *, hours: Hours
) -> dict[str, dict[str, Summary]]:
    """Find waits by policy, then by group of `Scans.groups`; a group without scans is left out."""
    found = {}
    for name, policy in policies.items():
        waited = minutes_waited(scans, reading, policy, hours=hours)
        found[name] = {
            group: summary(waited, who) for group, who in scans.groups.items() if _settled(who).any()
        }
    return found


def minutes_waited(scans: Scans, reading: Reading, policy: Policy, *, hours: Hours) -> FloatArray:
    """Wait (n,) of each scan under one policy."""
    tiers = scans.tiers if policy.tiers else 1
    first = int(scans.tier.min() < 0)  # a place in front for emergencies
    bands = [0] * first + [first + (k if reading.interrupting else 0) for k in range(tiers)]
    longest = (None,) * (first + 1) + policy.longest_minutes[1:]
    room = Room(reading.readers, tuple(bands), longest, hours)
    tier = np.minimum(scans.tier, tiers - 1) + first
    return waits(scans.arrive, scans.minutes, tier, room)


def summary(waited: FloatArray, who: BoolArray) -> Summary:
    """Summarise the waits of `who` (n,); the first scans, which met an empty room, are left out."""
    settled = waited[_settled(who)]
    batches = [waited[part & who] for part in _batches(len(waited))]
    means = np.array([batch.mean() for batch in batches if batch.size])
    spread = np.std(means, ddof=1) / np.sqrt(len(means)) if len(means) > 1 else np.inf
    return Summary(
        scans=settled.size,
        mean=float(settled.mean()),
        half_width=float(student.ppf(0.975, max(len(means) - 1, 1)) * spread),
        percentile_95=float(np.percentile(settled, 95)),
        maximum=float(settled.max()),
    )


def _settled(who: BoolArray) -> BoolArray:
    after = np.arange(len(who)) >= int(WARM_UP * len(who))
    return who & after


def _batches(count: int) -> list[BoolArray]:
    edges = np.linspace(int(WARM_UP * count), count, BATCHES + 1).astype(int)
    place = np.arange(count)
    return [(place >= low) & (place < high) for low, high in pairwise(edges)]
