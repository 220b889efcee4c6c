"""Several readers and unequal reading times: the Markov chain of how many of each class are in the room.

Preemptive-resume M/M/n. A class feels only the classes above it, so each is solved in turn, and classes in a
row that read for the same time are one class to all below them: together they wait as one. A class's own
number is the level of a quasi-birth-death process whose phases are the numbers of the classes above, cut off
where the chance of more is below 1e-10. The stationary law is matrix-geometric (Neuts 1981); its matrix is
found by logarithmic reduction (Latouche and Ramaswami, J. Appl. Prob. 30:650, 1993). Exact to the cut; the
recursive dimensionality reduction that QuCAD uses (Harchol-Balter, Queueing Systems 51:331, 2005)
approximates it.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from shared.queueing.classes import Stream
from shared.queueing.closed import NEXT, NoFormulaError, cumulated_loads
from shared.sums import FloatArray

CUT = 1e-10
MOST_PHASES = 800
_REDUCTIONS = 60


def interrupting(classes: Sequence[Stream], *, readers: int) -> list[float]:
    """Mean wait of each class: preemptive-resume, Poisson arrivals, exponential times of each class's mean.

    Raises
    ------
    ConfigError
        The load is 1 or more.
    NoFormulaError
        The chain would need more than `MOST_PHASES` phases.
    """
    cumulated_loads(classes, readers=readers)
    waits: list[float] = []
    ahead: list[_Class] = []
    for minutes, alike in itertools.groupby(classes, key=lambda c: c.mean):
        rate = queued = 0.0  # of the classes alike so far, together: they are one class to all below
        for stream in alike:
            own = stream.per_minute or NEXT
            number, ratio = _level(ahead, arrive=rate + own, finish=1 / minutes, readers=readers)
            waiting = number - (rate + own) * minutes
            waits.append((waiting - queued) / own)
            if stream.per_minute:
                rate, queued = rate + own, waiting
        if rate:
            ahead.append(_Class(rate, minutes, functools.partial(_most, ratio, readers)))
    return waits


@dataclass(frozen=True)
class _Class:
    """Classes of one mean as one: rate, minutes, and how many of them are worth counting."""

    per_minute: float
    minutes: float
    most: Callable[[], int]


def _most(ratio: FloatArray, readers: int) -> int:
    decay = float(np.max(np.abs(np.linalg.eigvals(ratio))))
    return readers + math.ceil(math.log(CUT) / math.log(decay))


def _above(classes: Sequence[_Class], readers: int) -> tuple[FloatArray, FloatArray]:
    """Make the generator (P, P) of the classes above, up to their `most`; readers (P,) they leave free."""
    most = [c.most() for c in classes]
    if (count := math.prod(m + 1 for m in most)) > MOST_PHASES:
        raise NoFormulaError(
            f"{count} states of the classes above, expected {MOST_PHASES} at most. Simulate it."
        )
    phases = list(itertools.product(*(range(m + 1) for m in most)))
    place = {phase: p for p, phase in enumerate(phases)}
    generator = np.zeros((len(phases), len(phases)))
    idle = np.zeros(len(phases))
    for p, phase in enumerate(phases):
        free = readers
        for k, one in enumerate(classes):
            busy = min(free, phase[k])
            free -= busy
            for step, rate in ((1, one.per_minute), (-1, busy / one.minutes)):
                if rate and phase[k] + step <= most[k]:
                    generator[p, place[*phase[:k], phase[k] + step, *phase[k + 1 :]]] += rate
        idle[p] = free
    generator -= np.diag(generator.sum(axis=1))
    return generator, idle


def _level(
    ahead: Sequence[_Class], *, arrive: float, finish: float, readers: int
) -> tuple[float, FloatArray]:
    """Mean number of the class in the room, and the matrix (P, P) by which the chance of one more falls."""
    generator, idle = _above(ahead, readers)
    one = np.eye(len(idle))
    up = arrive * one

    def down(level: int) -> FloatArray:
        return np.diag(np.minimum(level, idle) * finish)

    def local(level: int) -> FloatArray:
        return generator - up - down(level)

    # pi[m + 1] = pi[m] @ ratio[m]; from level `readers` on no more readers help, and the ratio stays.
    last = up @ np.linalg.inv(-local(readers) - up @ _first_passage(up, local(readers), down(readers)))
    ratio = [last]
    for level in range(readers - 1, 0, -1):
        ratio.insert(0, up @ np.linalg.inv(-local(level) - ratio[0] @ down(level + 1)))
    balance = local(0) + ratio[0] @ down(1)
    balance[:, 0] = 1.0  # one equation is the others' sum; any total will do
    law = np.linalg.solve(balance.T, one[0])
    total = number = 0.0
    for level, step in enumerate(ratio[:-1]):
        total, number = total + law.sum(), number + level * law.sum()
        law = law @ step
    onwards = np.linalg.inv(one - last)
    first, behind = law @ onwards, law @ last @ onwards @ onwards
    total += first.sum()
    number += (readers - 1) * first.sum() + behind.sum()
    return float(number / total), last


def _first_passage(up: FloatArray, local: FloatArray, down: FloatArray) -> FloatArray:
    """Phase (P, P) in which the level is first one lower, by logarithmic reduction."""
    inverse = np.linalg.inv(-local)
    rise, fall = inverse @ up, inverse @ down
    found, climbed = fall.copy(), rise.copy()
    for _ in range(_REDUCTIONS):
        both = np.linalg.inv(np.eye(len(up)) - rise @ fall - fall @ rise)
        rise, fall = both @ rise @ rise, both @ fall @ fall
        added = climbed @ fall
        found += added
        climbed = climbed @ rise
        if np.abs(added).max() < 1e-14:
            break
    return found
