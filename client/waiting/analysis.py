"""Waits in the order of the tiers against first come, first served, by formula and by simulation."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from client.waiting.records import Assumption, Options, Recorded, assumption
from client.waiting.room import arrivals_of, longest_of, reading_of, times_of, triage_of
from shared.queueing.arrivals import Poisson
from shared.queueing.classes import Reading, Triage
from shared.queueing.closed import NoFormulaError
from shared.queueing.expected import Expected, expected
from shared.queueing.hours import Hours
from shared.queueing.policies import Policy, Summary, draw, simulate
from shared.queueing.roc import Point, along
from shared.randomness import generator

FIRST_COME, ORDER, LIMITED = "first come, first served", "by tier", "by tier, longest wait"
PROBABILITY_BINS = 100


@dataclass(frozen=True)
class Analysis:
    """Waits in minutes by policy and group; `formula` where one exists; the best single threshold."""

    assumptions: tuple[Assumption, ...]
    waits: Mapping[str, Mapping[str, Summary]]
    formula: Mapping[str, Expected]
    no_formula: str | None
    threshold: float | None
    point: Point | None

    def as_json(self) -> dict[str, Any]:
        """Values for programs."""
        return asdict(self)


def analyse(options: Options, recorded: Recorded) -> Analysis:
    """Compare the orders.

    Raises
    ------
    ConfigError
        Nothing says how well the score tells patients apart, readers cannot keep up, or an option that
        names the hospital's own records where it has none.
    """
    said: list[Assumption] = []
    triage = triage_of(options, recorded, said)
    hours = Hours() if options.hours is None else Hours.parse(options.hours)
    said.append(assumption("opening hours", options.hours, "always open"))
    times, minutes = times_of(options, recorded, said)
    arrivals = arrivals_of(options, recorded, said)
    reading = reading_of(options, arrivals, triage, hours, minutes=minutes, square=times.square, said=said)
    longest = longest_of(options, recorded, len(triage.diseased), said)
    policies = {FIRST_COME: Policy(tiers=False), ORDER: Policy(tiers=True)}
    if any(limit is not None for limit in longest):
        policies[LIMITED] = Policy(tiers=True, longest_minutes=longest)
    drawn = draw(
        triage,
        reading,
        arrivals=arrivals or Poisson(1.0),
        times=times,
        hours=hours,
        count=options.scans,
        generator=generator(options.seed, "waiting"),
    )
    formula, why_not = _formula(triage, reading, stationary=options.hours is None and arrivals is None)
    threshold, point = _best_threshold(recorded.predictions, reading) if formula else (None, None)
    return Analysis(
        assumptions=tuple(said),
        waits=simulate(drawn, reading, policies, hours=hours),
        formula=formula,
        no_formula=why_not,
        threshold=threshold,
        point=point,
    )


def _formula(triage: Triage, reading: Reading, *, stationary: bool) -> tuple[dict[str, Expected], str | None]:
    if not stationary:
        return {}, "formulas need arrivals at a constant rate and a room that is always open"
    try:
        return {FIRST_COME: expected(triage.first_come(), reading), ORDER: expected(triage, reading)}, None
    except NoFormulaError as error:
        return {}, str(error)


def _best_threshold(judged: pd.DataFrame | None, reading: Reading) -> tuple[float | None, Point | None]:
    """Return the probability above which one single tier would save most, where outcomes tell."""
    if judged is None or judged.empty or judged["urgent"].nunique() < 2:
        return None, None
    edges = np.linspace(0, 1, PROBABILITY_BINS + 1)
    counts = [
        np.histogram(judged.loc[judged["urgent"] == urgent, "probability"], edges)[0] for urgent in (1, 0)
    ]
    try:
        found = along(counts[0], counts[1], reading).best
    except NoFormulaError:
        return None, None
    return float(edges[found.bin]), found
