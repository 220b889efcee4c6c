"""When scans are read: a week of opening hours, and the clock that stands still outside them.

A week begins on Monday at 0:00; times are minutes. Readers live by the open clock, patients by the one on the
wall: a simulation runs on the first, and waits are taken on the second. A reading that closing time cuts
goes on when the room opens again.
"""

import re
from dataclasses import dataclass
from typing import Self

import numpy as np

from shared.errors import ConfigError
from shared.sums import FloatArray

DAY_MINUTES = 1440
WEEK_MINUTES = 7 * DAY_MINUTES
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_PART = re.compile(r"(?:([a-z]{3})(?:-([a-z]{3}))? )?(\d{1,2})(?::(\d\d))?-(\d{1,2})(?::(\d\d))?")


@dataclass(frozen=True)
class Hours:
    """Spans (start, end) of a week in which scans are read, in order, apart from each other."""

    spans: tuple[tuple[float, float], ...] = ((0.0, WEEK_MINUTES),)

    def __post_init__(self) -> None:
        edges = [edge for span in self.spans for edge in span]
        if not edges or edges[0] < 0 or edges[-1] > WEEK_MINUTES or np.any(np.diff(edges) <= 0):
            raise ConfigError(f"opening hours {self.spans}: expected spans in order, within one week.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``mon-fri 8-18, sat 9:30-13`` or ``8-18`` (every day); ConfigError for other words."""
        spans: list[tuple[float, float]] = []
        for part in text.lower().split(","):
            found = _PART.fullmatch(" ".join(part.split()))
            first, last = (found[1] or "mon", found[2] or found[1] or "sun") if found else ("", "")
            if found is None or first not in DAYS or last not in DAYS or DAYS.index(first) > DAYS.index(last):
                raise ConfigError(
                    f"opening hours {part.strip()!r}, expected such as 'mon-fri 8-18, sat 9-13'."
                )
            opens, closes = (60 * int(found[k]) + int(found[k + 1] or 0) for k in (3, 5))
            if not opens < closes <= DAY_MINUTES:
                raise ConfigError(
                    f"opening hours {part.strip()!r}: expected an end after the start, up to 24."
                )
            days = range(DAYS.index(first), DAYS.index(last) + 1)
            spans += [(day * DAY_MINUTES + opens, day * DAY_MINUTES + closes) for day in days]
        return cls(_joined(sorted(spans)))

    @property
    def open_minutes(self) -> float:
        """Open minutes of a week."""
        return sum(end - start for start, end in self.spans)

    def open_clock(self, wall: FloatArray) -> FloatArray:
        """Open minutes that have passed at wall times (n,)."""
        starts, lengths, before = self._arrays()
        week, minute = np.divmod(wall, WEEK_MINUTES)
        span = np.searchsorted(starts, minute, side="right") - 1
        inside = before[span] + np.minimum(minute - starts[span], lengths[span])
        found: FloatArray = week * self.open_minutes + np.where(span < 0, 0.0, inside)
        return found

    def wall_clock(self, passed: FloatArray) -> FloatArray:
        """Wall times (n,) at which so many open minutes have passed; at closing time, when it opens again."""
        starts, _, before = self._arrays()
        week, rest = np.divmod(passed, self.open_minutes)
        span = np.searchsorted(before, rest, side="right") - 1
        found: FloatArray = week * WEEK_MINUTES + starts[span] + rest - before[span]
        return found

    def _arrays(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Start and length of each span, and open minutes of the week before it."""
        edges = np.array(self.spans)
        lengths = edges[:, 1] - edges[:, 0]
        return edges[:, 0], lengths, np.cumsum(lengths) - lengths


ALWAYS = Hours()


def _joined(spans: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Join spans that touch, as midnight does; ConfigError where two overlap."""
    found = spans[:1]
    for start, end in spans[1:]:
        if start < found[-1][1]:
            raise ConfigError("opening hours overlap: name each hour of the week once.")
        if start == found[-1][1]:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return tuple(found)
