"""How long the rounds of a run will still take, from how long its rounds took so far."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.results import Round


@dataclass(frozen=True)
class Left:
    """About so many seconds for the rounds that are left; rests on `n` rounds that are over."""

    seconds: float
    n: int


def time_left(rounds: Sequence[Round], *, of: int, now: float, ended: float | None) -> Left | None:
    """Estimate from the mean round; None before one is over and when all are.

    `ended` is when the last round ended and `now` the time, both in seconds since 1970: what has passed of
    the round under way is taken off, but no more than one round.
    """
    n = len(rounds)
    if n == 0 or n >= of:
        return None
    mean = sum(each.seconds for each in rounds) / n
    passed = 0.0 if ended is None else min(max(now - ended, 0.0), mean)
    return Left((of - n) * mean - passed, n)
