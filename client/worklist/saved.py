"""What the order saved today, measured: who was read when, against the same readings in the order of arrival.

Every time at which a reader took a scan is kept; only which scan was taken is changed: the k-th time goes to
the k-th scan that came, of those taken since `since` and those that wait still. A scan that is then not taken
yet has waited until now. So the waits of all scans add up to the same in both orders, and what the urgent
gain the others lose. It is assumed that one reading takes as long as another; what came before `since` is
left as it was. `wardround site waiting` says what is expected in the long run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from client.worklist.records import Waited

FEWEST = 5
"""Scans of each kind, and twice as many readings, below which a mean is chance."""


@dataclass(frozen=True)
class Saved:
    """Means over n scans in seconds: by how much those above routine waited less, and the others more."""

    taken: int  # readings that the comparison rests on
    raised: int  # scans that model or clinician put above routine
    others: int
    raised_less_s: float | None  # None: too few to tell
    others_more_s: float | None


def saved(scans: Sequence[Waited], now: datetime) -> Saved:
    """Compare the waits of these scans until `now`; of scans that came at once the urgent one is first."""
    by_arrival = sorted(scans, key=lambda one: (one.came, not one.raised))
    times = sorted(one.taken for one in scans if one.taken is not None)
    taken = len(times)
    times += [now] * (len(scans) - taken)
    less = {True: 0.0, False: 0.0}
    for one, first_come in zip(by_arrival, times, strict=True):
        less[one.raised] += (first_come - (one.taken or now)).total_seconds()
    raised = sum(one.raised for one in scans)
    others = len(scans) - raised
    if min(raised, others) < FEWEST or taken < 2 * FEWEST:
        return Saved(taken, raised, others, None, None)
    return Saved(taken, raised, others, less[True] / raised, -less[False] / others)
