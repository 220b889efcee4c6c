"""How often something may be done: a number at once, and then one after the other, evenly.

The generic cell rate algorithm (ITU-T I.371, annex A): of every key one number is kept, the time by which all
that was taken has been paid off. Nobody is locked out for ever: after the wait the next one is free. It
counts what it admits only, so whoever goes on trying does not make the wait longer.

Of our own, not the library `limits`: that has no way to give a try back, which is what keeps a right password
from counting, and it would bring two further packages for these lines. server/refusals.py counts failed
enrolments by a minute that slides; a try there lasts a second, in which this pace would forgive some.
"""

import threading
import time
from collections.abc import Callable

SWEEP = 1024
"""Keys after which those that are paid off are forgotten."""


class Pace:
    """`count` at once, and `count` in `seconds` in the long run, for each key; for several threads."""

    def __init__(self, count: int, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = seconds / count
        self._depth = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._paid_off: dict[str, float] = {}
        self._sweep_at = SWEEP

    def take(self, key: str) -> float:
        """Take one and return 0, or return the seconds until one is free."""
        with self._lock:
            now = self._clock()
            paid_off = max(self._paid_off.get(key, now), now) + self._interval
            wait_s = paid_off - now - self._depth
            if wait_s > 1e-6:  # adding up intervals rounds
                return wait_s
            self._paid_off[key] = paid_off
            self._forget(now)
            return 0.0

    def give_back(self, key: str) -> None:
        """Let the last one not count."""
        with self._lock:
            if key in self._paid_off:
                self._paid_off[key] -= self._interval

    def __len__(self) -> int:
        """How many keys are remembered."""
        with self._lock:
            return len(self._paid_off)

    def _forget(self, now: float) -> None:
        if len(self._paid_off) < self._sweep_at:
            return
        self._paid_off = {key: time for key, time in self._paid_off.items() if time > now}
        self._sweep_at = max(SWEEP, 2 * len(self._paid_off))
