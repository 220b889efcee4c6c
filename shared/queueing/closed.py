"""Mean waits by formula.

One reader, Poisson arrivals, any reading times (M/G/1). Let s_j be the load of classes 1..j and V_j half the
mean square work that arrives a minute in all bands that class j's band does not interrupt. Then

    first looked at after    V_j / ((1 - s_{j-1}) (1 - s_j))
    interrupted for          b / (1 - b)  minutes a minute of reading, b the load of the bands above

With every class in one band this is Cobham's non-preemptive priority (Operations Research 2:70, 1954), with
each in its own the preemptive-resume one (Harchol-Balter, Performance Modeling, 2013, ch. 32), with one class
Pollaczek and Khinchine's. In between, emergencies interrupt tiers that do not interrupt each other.

Several readers, Poisson arrivals, exponential times of one mean (M/M/n): Erlang's C and Cobham's denominator;
preemptive: the classes 1..j together are an M/M/n queue of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from shared.errors import ConfigError
from shared.queueing.classes import Stream

NEXT = 1e-6
"""Scans a minute, where a class has none: it waits as its next patient would."""


class NoFormulaError(ConfigError):
    """The mean wait of such a queue is not known in closed form: simulate it."""


@dataclass(frozen=True)
class Wait:
    """Minutes until a scan is first looked at, and interruption a minute of its reading."""

    start: float
    interrupted: float = 0.0

    def of(self, read_minutes: float) -> float:
        """Mean wait of a scan that takes so long to read, the reading left out."""
        return self.start + self.interrupted * read_minutes


def one_reader(classes: Sequence[Stream]) -> list[Wait]:
    """Mean wait of each class, M/G/1; `classes` in order, with bands that never fall."""
    loads = cumulated_loads(classes, readers=1)
    waits = []
    for stream, below, upto in zip(classes, [0.0, *loads], loads, strict=False):
        work = sum(c.per_minute * c.square / 2 for c in classes if c.band <= stream.band)
        above = sum(c.per_minute * c.mean for c in classes if c.band < stream.band)
        waits.append(Wait(work / ((1 - below) * (1 - upto)), above / (1 - above)))
    return waits


def equal_times(classes: Sequence[Stream], *, readers: int) -> list[Wait]:
    """Mean wait of each class, M/M/n; every class reads for the same mean time.

    Either all classes share a band or each has its own: NoFormulaError for a mixture.
    """
    loads = cumulated_loads(classes, readers=readers)
    minutes, bands = classes[0].mean, [c.band for c in classes]
    if len(set(bands)) == 1:
        looked = erlang_c(readers, loads[-1]) * minutes / readers
        return [
            Wait(looked / ((1 - below) * (1 - upto)))
            for below, upto in zip([0.0, *loads], loads, strict=False)
        ]
    if len(set(bands)) < len(bands):
        raise NoFormulaError(f"bands {bands}, expected one for all classes or one for each. Simulate it.")
    waits, rate, queued = [], 0.0, 0.0  # of the classes so far, which together are a queue of their own
    for stream in classes:
        own = stream.per_minute or NEXT
        load = (rate + own) * minutes / readers
        waiting = (rate + own) * erlang_c(readers, load) * minutes / (readers * (1 - load))
        waits.append(Wait((waiting - queued) / own))
        if stream.per_minute:
            rate, queued = rate + own, waiting
    return waits


def erlang_c(readers: int, load: float) -> float:
    """Probability that all readers are busy in M/M/n at this load a reader (Erlang 1917)."""
    offered = readers * load
    blocked = 1.0
    for n in range(1, readers + 1):
        blocked = offered * blocked / (n + offered * blocked)
    return blocked / (1 - load * (1 - blocked))


def cumulated_loads(classes: Sequence[Stream], *, readers: int) -> list[float]:
    """Load a reader of classes 1..j, for each j; ConfigError at 1 or above."""
    loads = list(accumulate(c.per_minute * c.mean / readers for c in classes))
    if loads[-1] >= 1:
        raise ConfigError(
            f"readers would read {loads[-1]:.2f} of their time, expected below 1: "
            "the queue grows without end. More readers, shorter readings or fewer scans."
        )
    return loads
