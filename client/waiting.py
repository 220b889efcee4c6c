"""What the order saves at this hospital: waits by simulation and by formula, and where each number is from.

What the hospital's own records tell is taken from them, what an option says comes before that, and what
nobody said is assumed; `Analysis.assumptions` lists all of it with its source.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import pandas as pd
from pydantic import Field

from shared.config import Config
from shared.errors import ConfigError
from shared.queueing.arrivals import Arrivals, Days, Poisson, Weekly
from shared.queueing.classes import Minutes, Reading, Triage
from shared.queueing.closed import NoFormulaError
from shared.queueing.expected import Expected, expected
from shared.queueing.hours import WEEK_MINUTES, Hours
from shared.queueing.policies import Policy, Summary, draw, simulate
from shared.queueing.roc import Point, along
from shared.queueing.times import FEWEST_READINGS, Empirical, Exponential, Lognormal, Times
from shared.randomness import generator
from shared.study import Fraction

TIERS = ("stat", "asap", "urgent", "routine")
FIRST_COME, ORDER, LIMITED = "first come, first served", "by tier", "by tier, longest wait"
PROBABILITY_BINS = 100
_ASSUMED = "assumed"
_OPTION = "option"


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
    triage = _triage(options, recorded, said)
    hours = Hours() if options.hours is None else Hours.parse(options.hours)
    said.append(_assumption("opening hours", options.hours, "always open"))
    times, minutes = _times(options, recorded, said)
    arrivals = _arrivals(options, recorded, said)
    reading = _reading(options, arrivals, triage, hours, minutes=minutes, square=times.square, said=said)
    longest = _longest(options, recorded, len(triage.diseased), said)
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
    formula, why_not = _formula(triage, reading, stationary=options.hours is None and _random(arrivals))
    threshold, point = _best_threshold(recorded.predictions, reading) if formula else (None, None)
    return Analysis(
        assumptions=tuple(said),
        waits=simulate(drawn, reading, policies, hours=hours),
        formula=formula,
        no_formula=why_not,
        threshold=threshold,
        point=point,
    )


def _triage(options: Options, recorded: Recorded, said: list[Assumption]) -> Triage:
    typed = (options.sensitivity, options.specificity)
    judged = recorded.predictions
    if any(value is not None for value in typed):
        if options.sensitivity is None or options.specificity is None:
            raise ConfigError("found one of --sensitivity and --specificity, expected both.")
        prevalence = 0.1 if options.prevalence is None else options.prevalence
        said += [
            Assumption("sensitivity", f"{options.sensitivity:g}", _OPTION),
            Assumption("specificity", f"{options.specificity:g}", _OPTION),
            _assumption("prevalence", options.prevalence, f"{prevalence:g}"),
        ]
        return Triage.at(
            prevalence=prevalence, sensitivity=options.sensitivity, specificity=options.specificity
        )
    if judged is None or judged.empty:
        raise ConfigError(
            "there are no predictions with outcomes, which would tell sensitivity and specificity. "
            "Give --sensitivity and --specificity, or run a study whose patients have outcomes."
        )
    counts = {
        urgent: [int(((judged["tier"] == tier) & (judged["urgent"] == urgent)).sum()) for tier in TIERS]
        for urgent in (1, 0)
    }
    source = f"this site's predictions, n = {len(judged)}"
    triage = Triage.counted(counts[1], counts[0], prevalence=options.prevalence)
    for name, shares in (("urgent", triage.diseased), ("other", triage.others)):
        text = ", ".join(f"{tier} {share:.2f}" for tier, share in zip(TIERS, shares, strict=True))
        said.append(Assumption(f"tiers of {name} patients", text, source))
    said.append(
        Assumption("prevalence", f"{triage.prevalence:.3g}", _OPTION if options.prevalence else source)
    )
    return triage


def _times(options: Options, recorded: Recorded, said: list[Assumption]) -> tuple[Times, float]:
    own = list(recorded.readings)
    enough = len(own) >= FEWEST_READINGS
    scatter = options.scatter or ("own" if enough and options.read_minutes is None else "exponential")
    made: dict[str, Times] = {"exponential": Exponential(), "lognormal": Lognormal(1.0)}
    times = Empirical.of(own) if scatter == "own" else made[scatter]
    source = f"this site's worklist, n = {len(own)}"
    if options.read_minutes is not None or not enough:
        minutes = options.read_minutes or 10.0
        said.append(_assumption("minutes a reading", options.read_minutes, f"{minutes:g}"))
    else:
        minutes = float(np.mean(own))
        said.append(Assumption("minutes a reading", f"{minutes:.1f}", source))
    shown = {"own": "as seen here", "lognormal": "lognormal, standard deviation = mean"}.get(scatter, scatter)
    said.append(
        Assumption(
            "reading times", shown, source if scatter == "own" else _OPTION if options.scatter else _ASSUMED
        )
    )
    return times, minutes


def _arrivals(options: Options, recorded: Recorded, said: list[Assumption]) -> Arrivals | None:
    """Return the hospital's own pattern; None where scans are taken to come at random at a constant rate."""
    own = recorded.arrivals
    wanted = options.arrivals or ("week" if own else "random")
    found: Arrivals | None = None
    if wanted != "random":
        found = Weekly.of(own) if wanted == "week" else Days.of(own)
    shown = {
        "random": "at random, constant rate",
        "week": "by the hour of the week",
        "days": "as on days here",
    }
    source = f"this site's worklist, n = {len(own)}" if found else _OPTION if options.arrivals else _ASSUMED
    said.append(Assumption("arrivals", shown[wanted], source))
    return found


def _random(arrivals: Arrivals | None) -> bool:
    return arrivals is None


def _reading(
    options: Options,
    arrivals: Arrivals | None,
    triage: Triage,
    hours: Hours,
    *,
    minutes: float,
    square: float,
    said: list[Assumption],
) -> Reading:
    readers = options.readers or 1
    said.append(_assumption("readers", options.readers, str(readers)))
    values = {
        "readers": readers,
        "diseased_minutes": minutes,
        "other_minutes": minutes,
        "square": square,
        "emergency_share": options.emergency_share,
        "emergency_minutes": options.emergency_minutes,
        "interrupting": options.interrupting,
    }
    load, source = options.utilisation, _OPTION
    if load is None and arrivals is not None:
        mean = Reading.parse(values, "the command line").mean_minutes(triage.prevalence)
        scans = (
            arrivals.per_minute / (1 - options.emergency_share) * WEEK_MINUTES
        )  # emergencies are not listed
        load, source = scans * mean / (readers * hours.open_minutes), "arrivals × minutes / readers"
    elif load is None:
        load, source = 0.8, _ASSUMED
    if load >= 1:
        raise ConfigError(
            f"the load is {load:.2f} ({source}), expected below 1: readers could not keep up and the "
            "queue would grow without end. "
            "More --readers, shorter --read-minutes, longer --hours or a lower --load."
        )
    said.append(Assumption("load", f"{load:.2f}", source))
    if options.emergency_share:
        text = f"{options.emergency_share:.0%} of scans, {options.emergency_minutes:g} minutes each"
        said.append(Assumption("emergencies that interrupt", text, _OPTION))
    text = "interrupts a lower one" if options.interrupting else "waits until a reading is finished"
    said.append(Assumption("a higher tier", text, _OPTION if options.interrupting else _ASSUMED))
    return Reading.parse({**values, "utilisation": load}, "the command line")


def _longest(
    options: Options, recorded: Recorded, tiers: int, said: list[Assumption]
) -> tuple[float | None, ...]:
    """Longest wait in minutes in each tier (k,), top first."""
    names = TIERS if tiers == len(TIERS) else ("positive", "routine")
    known = dict(recorded.longest_wait_h or {})
    if options.longest_wait_h is not None:
        hours: list[float | None] = [None, *[options.longest_wait_h] * (tiers - 1)]
    else:
        hours = [None, *(known.get(name) for name in names[1:])]
    text = ", ".join(f"{n} {h:g} h" for n, h in zip(names, hours, strict=True) if h is not None) or "none"
    source = _OPTION if options.longest_wait_h is not None else "site.yaml" if known else _ASSUMED
    said.append(Assumption("longest wait, then a tier up", text, source))
    return tuple(None if h is None else 60 * h for h in hours)


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


def _assumption(name: str, typed: object | None, assumed: str) -> Assumption:
    if typed is None:
        return Assumption(name, assumed, _ASSUMED)
    return Assumption(name, f"{typed:g}" if isinstance(typed, float) else str(typed), _OPTION)
