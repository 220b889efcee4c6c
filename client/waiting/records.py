"""What is known of a reading room: what was typed, what the hospital's own records tell, what is assumed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, Protocol

import pandas as pd
from pydantic import Field

from shared.config import Config
from shared.queueing.classes import Minutes
from shared.study import Fraction

ASSUMED, OPTION = "assumed", "option"
"""Where a number is from that no record tells."""


class Options(Config):
    """What was typed; None where nothing was."""

    readers: Annotated[int, Field(ge=1)] | None = None
    read_minutes: Minutes | None = None
    utilisation: Annotated[float, Field(gt=0)] | None = None
    prevalence: Fraction | None = None
    sensitivity: Fraction | None = None
    specificity: Fraction | None = None
    emergency_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    emergency_minutes: Minutes = 5.0
    interrupting: bool = False
    hours: str | None = None
    longest_wait_h: Minutes | None = None
    arrivals: Literal["random", "week", "days"] | None = None
    scatter: Literal["exponential", "lognormal", "own"] | None = None
    scans: Annotated[int, Field(ge=1000, le=5_000_000)] = 200_000
    seed: int = 1


@dataclass(frozen=True)
class Recorded:
    """What the hospital's own files tell: arrivals in local time, `readings` in minutes each.

    `predictions` has the columns probability, tier and urgent, and rows whose outcome is known;
    `longest_wait_h` goes by tier.
    """

    predictions: pd.DataFrame | None = None
    arrivals: Sequence[datetime] = ()
    readings: Sequence[float] = ()
    longest_wait_h: Mapping[str, float | None] | None = None


class Seen(Protocol):
    """One scan of the worklist: when it came, when a reader took it, when the reading was done."""

    @property
    def arrived(self) -> datetime: ...  # noqa: D102
    @property
    def claimed(self) -> datetime | None: ...  # noqa: D102
    @property
    def finished(self) -> datetime | None: ...  # noqa: D102


def own_times(scans: Iterable[Seen]) -> tuple[list[datetime], list[float]]:
    """Return when scans came by the local clock, which people live by, and minutes that readings took."""
    listed = list(scans)
    arrivals = [one.arrived.astimezone().replace(tzinfo=None) for one in listed]
    spans = [one.finished - one.claimed for one in listed if one.claimed and one.finished]
    return arrivals, [span.total_seconds() / 60 for span in spans if span.total_seconds() > 0]


@dataclass(frozen=True)
class Assumption:
    """One number behind the analysis, and where it is from."""

    name: str
    value: str
    source: str


def assumption(name: str, typed: object | None, assumed: str) -> Assumption:
    """Say what was typed, or what is assumed where nothing was."""
    if typed is None:
        return Assumption(name, assumed, ASSUMED)
    return Assumption(name, f"{typed:g}" if isinstance(typed, float) else str(typed), OPTION)
