"""The mean wait of diseased, other and missed patients, by whichever formula applies.

    readers   emergencies   tiers                 reading times
    1         any           any                   any                       closed (M/G/1)
    several   none          any                   one exponential           closed (M/M/n)
    several   any           interrupting, or one  exponential, unequal      Markov chain
    several   some          not interrupting      any                       none: simulate
    several   none          not interrupting      unequal                   none: simulate
    several   any           any                   not exponential           none: simulate

With several readers, a tier in which diseased and others read for unequal times is taken as one
exponential of its mean, as QuCAD does; with one reader the mixture is exact unless `one_time` asks for
the same.
All of it holds for Poisson arrivals at a constant rate, in the long run.
"""

from dataclasses import dataclass

import numpy as np

from shared.queueing.chain import interrupting
from shared.queueing.classes import EXPONENTIAL, Reading, Stream, Triage, streams
from shared.queueing.closed import NoFormulaError, Wait, equal_times, one_reader


@dataclass(frozen=True)
class Expected:
    """Mean waits in minutes. `missed` are the diseased in the lowest tier, `tiers` each tier's patients."""

    diseased: float
    others: float
    missed: float
    tiers: tuple[float, ...]


def expected(triage: Triage, reading: Reading, *, one_time: bool = False) -> Expected:
    """Mean waits under the order of `triage`; of `triage.first_come()`, without an order.

    Raises
    ------
    NoFormulaError
        Only a simulation can tell (see the table above).
    """
    one_time = one_time or reading.readers > 1
    classes = streams(triage, reading, one_time=one_time)
    emergencies = len(classes) - len(triage.diseased)
    ranked = classes[emergencies:]
    waits = _waits(classes, reading)[emergencies:]
    pairs = list(zip(waits, ranked, strict=True))
    times = (reading.diseased_minutes, reading.other_minutes)
    diseased, others = ([w.of(c.mean if one_time else minutes) for w, c in pairs] for minutes in times)
    return Expected(
        diseased=float(np.dot(triage.diseased, diseased)),
        others=float(np.dot(triage.others, others)),
        missed=diseased[-1],
        tiers=tuple(w.of(c.mean) for w, c in pairs),
    )


def _waits(classes: list[Stream], reading: Reading) -> list[Wait]:
    if reading.readers == 1:
        return one_reader(classes)
    if reading.square != EXPONENTIAL:
        raise NoFormulaError("several readers and reading times that are not exponential: simulate them.")
    if np.ptp([c.mean for c in classes]) < 1e-12:
        return equal_times(classes, readers=reading.readers)
    if len({c.band for c in classes}) < len(classes):
        raise NoFormulaError("several readers, unequal reading times and no interruption: simulate them.")
    return [Wait(minutes) for minutes in interrupting(classes, readers=reading.readers)]
