"""The reading room that is analysed: each part from an option, else from the site's records, else assumed."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from client.waiting.records import ASSUMED, OPTION, Assumption, Options, Recorded, assumption
from shared.errors import ConfigError
from shared.queueing.arrivals import Arrivals, Days, Weekly
from shared.queueing.classes import Reading, Triage
from shared.queueing.hours import WEEK_MINUTES, Hours
from shared.queueing.times import FEWEST_READINGS, Empirical, Exponential, Lognormal, Times

TIERS = ("stat", "asap", "urgent", "routine")
FEWEST_SCANS, FEWEST_WEEKS = 200, 2
"""From which on the site's own arrivals are taken without being asked for."""


def triage_of(options: Options, recorded: Recorded, said: list[Assumption]) -> Triage:
    """Classes of patients: of two tiers that were typed, or of the site's own predictions."""
    typed = (options.sensitivity, options.specificity)
    judged = recorded.predictions
    if any(value is not None for value in typed):
        if options.sensitivity is None or options.specificity is None:
            raise ConfigError("found one of --sensitivity and --specificity, expected both.")
        prevalence = 0.1 if options.prevalence is None else options.prevalence
        said += [
            Assumption("sensitivity", f"{options.sensitivity:g}", OPTION),
            Assumption("specificity", f"{options.specificity:g}", OPTION),
            assumption("prevalence", options.prevalence, f"{prevalence:g}"),
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
        Assumption("prevalence", f"{triage.prevalence:.3g}", OPTION if options.prevalence else source)
    )
    return triage


def times_of(options: Options, recorded: Recorded, said: list[Assumption]) -> tuple[Times, float]:
    """How long readings take and how they scatter: distribution, and mean in minutes."""
    own = list(recorded.readings)
    enough = len(own) >= FEWEST_READINGS
    scatter = options.scatter or ("own" if enough and options.read_minutes is None else "exponential")
    made: dict[str, Times] = {"exponential": Exponential(), "lognormal": Lognormal(1.0)}
    times = Empirical.of(own) if scatter == "own" else made[scatter]
    source = f"this site's worklist, n = {len(own)}"
    if options.read_minutes is not None or not enough:
        minutes = options.read_minutes or 10.0
        said.append(assumption("minutes a reading", options.read_minutes, f"{minutes:g}"))
    else:
        minutes = float(np.mean(own))
        said.append(Assumption("minutes a reading", f"{minutes:.1f}", source))
    shown = {"own": "as seen here", "lognormal": "lognormal, standard deviation = mean"}.get(scatter, scatter)
    said.append(
        Assumption(
            "reading times", shown, source if scatter == "own" else OPTION if options.scatter else ASSUMED
        )
    )
    return times, minutes


def arrivals_of(options: Options, recorded: Recorded, said: list[Assumption]) -> Arrivals | None:
    """Return the hospital's own pattern; None where scans are taken to come at random at a constant rate."""
    own = recorded.arrivals
    wanted = options.arrivals or ("week" if _tell_a_week(own) else "random")
    found: Arrivals | None = None
    if wanted != "random":
        found = Weekly.of(own) if wanted == "week" else Days.of(own)
    shown = {
        "random": "at random, constant rate",
        "week": "by the hour of the week",
        "days": "as on days here",
    }
    source = f"this site's worklist, n = {len(own)}" if found else OPTION if options.arrivals else ASSUMED
    said.append(Assumption("arrivals", shown[wanted], source))
    return found


def _tell_a_week(own: Sequence[datetime]) -> bool:
    """Whether there are enough scans, over enough weeks, to take the rate of each hour of a week from."""
    return len(own) >= FEWEST_SCANS and max(own) - min(own) >= timedelta(weeks=FEWEST_WEEKS)


def reading_of(
    options: Options,
    arrivals: Arrivals | None,
    triage: Triage,
    hours: Hours,
    *,
    minutes: float,
    square: float,
    said: list[Assumption],
) -> Reading:
    """Readers and their load; ConfigError where they could not keep up."""
    readers = options.readers or 1
    said.append(assumption("readers", options.readers, str(readers)))
    values = {
        "readers": readers,
        "diseased_minutes": minutes,
        "other_minutes": minutes,
        "square": square,
        "emergency_share": options.emergency_share,
        "emergency_minutes": options.emergency_minutes,
        "interrupting": options.interrupting,
    }
    load, source = options.utilisation, OPTION
    if load is None and arrivals is not None:
        mean = Reading.parse(values, "the command line").mean_minutes(triage.prevalence)
        scans = (
            arrivals.per_minute / (1 - options.emergency_share) * WEEK_MINUTES
        )  # emergencies are not listed
        load, source = scans * mean / (readers * hours.open_minutes), "arrivals × minutes / readers"
    elif load is None:
        load, source = 0.8, ASSUMED
    if load >= 1:
        raise ConfigError(
            f"the load is {load:.2f} ({source}), expected below 1: readers could not keep up and the "
            "queue would grow without end. "
            "More --readers, shorter --read-minutes, longer --hours or a lower --load."
        )
    said.append(Assumption("load", f"{load:.2f}", source))
    if options.emergency_share:
        text = f"{options.emergency_share:.0%} of scans, {options.emergency_minutes:g} minutes each"
        said.append(Assumption("emergencies that interrupt", text, OPTION))
    text = "interrupts a lower one" if options.interrupting else "waits until a reading is finished"
    said.append(Assumption("a higher tier", text, OPTION if options.interrupting else ASSUMED))
    return Reading.parse({**values, "utilisation": load}, "the command line")


def longest_of(
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
    source = OPTION if options.longest_wait_h is not None else "site.yaml" if known else ASSUMED
    said.append(Assumption("longest wait, then a tier up", text, source))
    return tuple(None if h is None else 60 * h for h in hours)
