"""One event simulation of a reading room: readers, tiers, interruption, promotion, opening hours.

Events are arrivals and finished readings. A free reader takes from the top tier that has a scan waiting the
one that entered the tier first. Where bands differ, a waiting scan of a lower band interrupts a reading of a
higher one, which goes on where it stopped before any other of its band is begun. A scan that has been in a
tier for the longest wait of that tier enters the tier above, as on the worklist; it takes effect when a scan
next comes or a reading ends.
"""

import math
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

from shared.queueing.hours import ALWAYS, Hours
from shared.sums import FloatArray, IntArray

_WAITING, _INTERRUPTED, _READING, _READ = range(4)


@dataclass(frozen=True)
class Room:
    """What the simulation needs besides the scans.

    `bands` (k,), one a tier, never fall; tiers of one band never interrupt each other. `longest_minutes` (k,)
    on the wall clock: None, or a tier that is not named, is never left, nor is the top one.
    """

    readers: int
    bands: tuple[int, ...]
    longest_minutes: tuple[float | None, ...] = ()
    hours: Hours = ALWAYS

    def longest(self, tier: int) -> float | None:
        """Longest wait in a tier; None where a scan stays."""
        return self.longest_minutes[tier] if 0 < tier < len(self.longest_minutes) else None


def waits(arrive: FloatArray, minutes: FloatArray, tier: IntArray, room: Room) -> FloatArray:
    """Minutes (n,) that each scan waits, its own reading left out.

    `arrive` (n,) is on the wall clock, ascending; `minutes` (n,) are reading times; `tier` (n,) is 0 for the
    top.
    What closing time adds to a reading that it cuts is no wait; being interrupted is, in open minutes.
    """
    entered, leaves = [arrive.tolist()] * len(room.bands), [[0.0]] * len(room.bands)
    left = arrive
    for k in reversed(range(len(room.bands))):
        came = np.where(tier > k, left, arrive)  # of a scan that never is in tier k: any number
        if came is not arrive and room.longest_minutes:
            entered[k] = came.tolist()
        longest = room.longest(k)
        if longest is not None:
            left = came + longest
            leaves[k] = room.hours.open_clock(left).tolist()
    opened = room.hours.open_clock(arrive).tolist()
    start, finish = _events(opened, minutes.tolist(), tier.tolist(), entered, leaves, room)
    looked = room.hours.wall_clock(start) - arrive
    found: FloatArray = np.maximum(looked, 0.0) + np.maximum(finish - start - minutes, 0.0)
    return found


def _events(  # noqa: C901, PLR0912, PLR0915, PLR0917 - one loop over plain lists: a million scans in seconds
    arrive: list[float],
    left: list[float],
    tier: list[int],
    entered: list[list[float]],
    leaves: list[list[float]],
    room: Room,
) -> tuple[FloatArray, FloatArray]:
    """First look and end (n,) of each reading. `left` are minutes to read, `leaves[k]` when tier k is left.

    All on the open clock except `entered[k]`, which only orders a tier.
    """
    count, bands, readers, tiers = len(arrive), room.bands, room.readers, range(len(room.bands))
    interrupts = len(set(bands)) > 1
    moves = [room.longest(k) is not None for k in tiers]
    start, finish, state = [math.nan] * count, [math.nan] * count, [_WAITING] * count
    waiting: list[list[tuple[float, int]]] = [
        [] for _ in tiers
    ]  # heaps; a scan that moved up leaves its entry
    moving: list[tuple[float, int]] = []
    reading: list[tuple[float, int]] = []
    came = queued = 0
    while came < count or reading:
        now = min(arrive[came] if came < count else math.inf, reading[0][0] if reading else math.inf)
        while reading and reading[0][0] <= now:
            scan = heappop(reading)[1]
            finish[scan], state[scan] = now, _READ
        while came < count and arrive[came] <= now:  # what came overnight is all there when doors open
            k = tier[came]
            heappush(waiting[k], (entered[k][came], came))
            if moves[k]:
                heappush(moving, (leaves[k][came], came))
            queued += 1
            came += 1
        while moving and moving[0][0] <= now:
            scan = heappop(moving)[1]
            if state[scan] != _READ:
                tier[scan] = k = tier[scan] - 1
                if state[scan] != _READING:
                    heappush(waiting[k], (entered[k][scan], scan))
                if moves[k]:
                    heappush(moving, (leaves[k][scan], scan))
        while queued and (interrupts or len(reading) < readers):
            for best in tiers:
                heap = waiting[best]
                while heap and state[heap[0][1]] > _INTERRUPTED:  # read from another tier's
                    heappop(heap)
                if heap:
                    break
            if len(reading) == readers:
                worst = max(reading, key=lambda one: (bands[tier[one[1]]], tier[one[1]], one))
                if bands[tier[worst[1]]] <= bands[best]:
                    break
                reading.remove(worst)
                reading.sort()  # a sorted list is a heap
                ended, scan = worst
                left[scan], state[scan] = ended - now, _INTERRUPTED
                # An open reading goes on before any other of its band is begun.
                heappush(waiting[bands.index(bands[tier[scan]])], (-math.inf, scan))
                queued += 1
            scan = heappop(waiting[best])[1]
            queued -= 1
            if state[scan] == _WAITING:
                start[scan] = now
            state[scan] = _READING
            heappush(reading, (now + left[scan], scan))
    return np.array(start), np.array(finish)
