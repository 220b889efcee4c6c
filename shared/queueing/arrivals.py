"""When scans come: at random, by the hour of the week, or as on a hospital's own days.

Each draws arrival times in minutes from a Monday at 0:00, ascending. `Weekly` is a Poisson process whose rate
depends on the hour of the week; `Days` puts a hospital's own days together anew, each as it was, so that what
a Poisson process leaves out (scans that come in batches, days of rush) is kept within a day.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

import numpy as np

from shared.errors import ConfigError
from shared.queueing.hours import DAY_MINUTES, WEEK_MINUTES
from shared.sums import FloatArray

WEEK_HOURS = 168
FEWEST_DAYS = 7


class Arrivals(Protocol):
    """A pattern of arrivals."""

    @property
    def per_minute(self) -> float:
        """Mean rate over a week."""

    def draw(self, count: int, generator: np.random.Generator) -> FloatArray:
        """Draw `count` arrival times in minutes (count,), ascending."""

    def scaled(self, per_minute: float) -> "Arrivals":
        """Return the same pattern at another mean rate."""


@dataclass(frozen=True)
class Poisson:
    """At random, at a constant rate."""

    per_minute: float

    def draw(self, count: int, generator: np.random.Generator) -> FloatArray:
        """As `Arrivals.draw`."""
        return np.cumsum(generator.exponential(1 / self.per_minute, count))

    def scaled(self, per_minute: float) -> Self:
        """As `Arrivals.scaled`."""
        return type(self)(per_minute)


@dataclass(frozen=True, eq=False)
class Weekly:
    """At random, at a rate a minute for each hour of the week (168,), from Monday 0:00."""

    rates: FloatArray

    @classmethod
    def of(cls, times: Sequence[datetime]) -> Self:
        """Estimate the rates from a hospital's own arrival times, by the clock they were written in.

        An hour without arrivals keeps a rate of zero. ConfigError for less than a week of days.
        """
        minutes = _minutes(times)
        hours = (minutes % WEEK_MINUTES // 60).astype(int)
        first, last = int(minutes[0] // DAY_MINUTES), int(minutes[-1] // DAY_MINUTES)
        days = np.bincount(np.arange(first, last + 1) % 7, minlength=7)
        return cls(np.bincount(hours, minlength=WEEK_HOURS) / (60 * np.repeat(days, 24)))

    @property
    def per_minute(self) -> float:
        """Mean rate over a week."""
        return float(np.mean(self.rates))

    def draw(self, count: int, generator: np.random.Generator) -> FloatArray:
        """As `Arrivals.draw`: a Poisson process of rate 1, its clock bent to the rates."""
        passed = np.cumsum(generator.exponential(1.0, count))
        upto = np.concatenate([[0.0], np.cumsum(60 * self.rates)])
        week, rest = np.divmod(passed, upto[-1])
        hour = np.clip(np.searchsorted(upto, rest, side="right") - 1, 0, WEEK_HOURS - 1)
        found: FloatArray = week * WEEK_MINUTES + 60 * hour + (rest - upto[hour]) / self.rates[hour]
        return found

    def scaled(self, per_minute: float) -> Self:
        """As `Arrivals.scaled`."""
        return type(self)(self.rates * (per_minute / self.per_minute))


@dataclass(frozen=True, eq=False)
class Days:
    """A hospital's own days, drawn with replacement: Mondays for Mondays, and so on.

    `days` holds, for each weekday, the days that were seen: minutes after midnight, ascending. `copies` of
    every scan arrive at about the same time on average; below 1 some are left out at random.
    """

    days: tuple[tuple[FloatArray, ...], ...]
    copies: float = 1.0

    @classmethod
    def of(cls, times: Sequence[datetime]) -> Self:
        """Cut a hospital's own arrival times into days; the first and the last, cut short, are left out."""
        minutes = _minutes(times)
        numbers = (minutes // DAY_MINUTES).astype(int)
        days: list[list[FloatArray]] = [[] for _ in range(7)]
        for day in range(numbers[0] + 1, numbers[-1]):
            days[day % 7].append(minutes[numbers == day] - day * DAY_MINUTES)
        if not all(days):
            raise ConfigError(
                f"arrivals of {len(set(numbers.tolist()))} days, expected every weekday "
                "at least once between the first and the last. Use a pattern by the hour of the week."
            )
        return cls(tuple(tuple(one) for one in days))

    @property
    def per_minute(self) -> float:
        """Mean rate over a week."""
        means = [np.mean([len(day) for day in days]) for days in self.days]
        return self.copies * float(np.sum(means)) / WEEK_MINUTES

    def draw(self, count: int, generator: np.random.Generator) -> FloatArray:
        """As `Arrivals.draw`."""
        drawn: list[FloatArray] = []
        number = total = 0
        while total < count:
            days = self.days[number % 7]
            day = days[generator.integers(len(days))]
            copies = int(self.copies) + (generator.random(len(day)) < self.copies % 1)
            drawn.append(np.repeat(day, copies) + number * DAY_MINUTES)
            total += len(drawn[-1])
            number += 1
        return np.concatenate(drawn)[:count]

    def scaled(self, per_minute: float) -> Self:
        """As `Arrivals.scaled`."""
        return type(self)(self.days, self.copies * per_minute / self.per_minute)


def _minutes(times: Sequence[datetime]) -> FloatArray:
    """Minutes (n,) after the Monday before the first, ascending; ConfigError for less than a week."""
    ordered = sorted(times)
    days = (ordered[-1].date() - ordered[0].date()).days + 1 if ordered else 0
    if days < FEWEST_DAYS:
        raise ConfigError(
            f"arrival times of {days} days, expected {FEWEST_DAYS} at least. Take them to come at random."
        )
    midnight = ordered[0].replace(hour=0, minute=0, second=0, microsecond=0)
    seconds = np.array([(t - midnight).total_seconds() for t in ordered])
    return seconds / 60 + midnight.weekday() * DAY_MINUTES
