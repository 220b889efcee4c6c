"""What would change the tier: for each term the nearest value of it alone at which the tier is another.

The score is asked again with the changed value and nothing is assumed of it but that it is monotone in each
value, as a sum of monotone terms under a monotone calibration is. So what is said holds, whatever is fitted.
Values are rounded away from the present one, to the digits they are told with: the number that is read is
the number that was tried.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import get_args

from shared.priority import CalibratedPriority, Features, Tier
from shared.study import Term
from shared.words import listed, said

TIERS: tuple[Tier, ...] = get_args(Tier)  # lowest first
PLAUSIBLE = {
    "finding_probability": (0.0, 1.0),
    "uncertainty": (0.0, 1.0),
    "finding_count": (0.0, 100.0),
    "volume_ml": (0.0, 5000.0),
    "largest_volume_ml": (0.0, 5000.0),
    "largest_diameter_mm": (0.0, 400.0),
    "sum_of_diameters_mm": (0.0, 2000.0),
}
"""What the network's features may be where the study gives no range; a body holds no more."""
DOMAIN = {"identity": (-math.inf, math.inf), "log1p": (0.0, math.inf), "logit": (0.0, 1.0)}

TierAt = Callable[[float], Tier]
"""The tier with one term at another value."""


@dataclass(frozen=True)
class Change:
    """One value that alone would give another tier, the nearest such value in its direction."""

    feature: str
    value: float
    tier: Tier
    text: str


@dataclass(frozen=True)
class Unknown:
    """Lowest and highest tier that a value which was not recorded could give."""

    labels: tuple[str, ...]
    lowest: Tier
    highest: Tier

    @property
    def text(self) -> str:
        """In words."""
        verb, them = ("is", "it") if len(self.labels) == 1 else ("are", "them")
        would = f"stays {self.lowest}" if self.lowest == self.highest else f"{self.lowest} to {self.highest}"
        return f"{listed(self.labels)} {verb} not recorded: with {them}, {would}"


def in_words(priority: CalibratedPriority, features: Features, site: str | None = None) -> tuple[str, ...]:
    """All that would change the tier, and what the missing values could make of it; raises as `changes`."""
    told = [change.text for change in changes(priority, features, site)]
    return (*told, *(unknown.text for unknown in unknowns(priority, features, site)))


def changes(priority: CalibratedPriority, features: Features, site: str | None = None) -> tuple[Change, ...]:
    """Find what of the recorded values would change the tier: higher tiers first, then in order of the terms.

    Only values that can be are named: within the term's plausible range, and the other side of a flag. A
    number of the patient's history whose range the study does not give is changed towards no open end.

    Raises
    ------
    ConfigError, CaseError
        As `CalibratedPriority.prioritise`.
    """
    found = priority.prioritise(features, site)
    now, seen = TIERS.index(found.tier), {reason.feature: reason for reason in found.reasons}
    told = []
    for term in priority.terms:
        value, label = seen[term.name].value, seen[term.name].label
        if value is None:
            continue
        tier_at = _tier_at(priority, features, term, site)
        for other in _others(term, tier_at, value):
            text = _text(term, label, value, other)
            told.append(Change(term.name, other, tier_at(other), f"{tier_at(other)} if {text}"))
    return tuple(sorted(told, key=lambda change: TIERS.index(change.tier) < now))


def unknowns(
    priority: CalibratedPriority, features: Features, site: str | None = None
) -> tuple[Unknown, ...]:
    """Tell what each missing value could make of the tier within its plausible range, and all together.

    A value whose range is open is left out: it could give any tier. Raises as `changes`.
    """
    found: list[Unknown] = []
    lowest, highest = dict(features), dict(features)
    seen = {reason.feature: reason for reason in priority.prioritise(features, site).reasons}
    for term in priority.terms:
        ends = (0.0, 1.0) if term.is_flag else plausible(term)
        if seen[term.name].value is not None or not all(map(math.isfinite, ends)):
            continue
        tried = [(priority.prioritise({**features, term.name: end}, site), end) for end in ends]
        (low, at_low), (high, at_high) = sorted(tried, key=lambda one: one[0].log_odds)
        lowest[term.name], highest[term.name] = at_low, at_high
        found.append(Unknown((seen[term.name].label,), low.tier, high.tier))
    if len(found) > 1:
        labels = tuple(label for unknown in found for label in unknown.labels)
        found.append(
            Unknown(labels, priority.prioritise(lowest, site).tier, priority.prioritise(highest, site).tier)
        )
    return tuple(found)


def plausible(term: Term) -> tuple[float, float]:
    """Lowest and highest value that a term can have, infinite where the study leaves it open."""
    low, high = DOMAIN[term.transform]
    first, last = PLAUSIBLE.get(term.feature, (-math.inf, math.inf))
    low, high = max(low, first), min(high, last)
    return (
        low if term.lowest is None else max(DOMAIN[term.transform][0], term.lowest),
        high if term.highest is None else min(DOMAIN[term.transform][1], term.highest),
    )


def _tier_at(priority: CalibratedPriority, features: Features, term: Term, site: str | None) -> TierAt:
    """Set one term; of a column of words one alone holds, so that another's 1 becomes 0."""
    others = {t.name: 0.0 for t in priority.terms if t.level and t.feature == term.feature and t != term}

    def tier_at(value: float) -> Tier:
        known = others if term.level and value == 1 else {}
        return priority.prioritise({**features, **known, term.name: value}, site).tier

    return tier_at


def _others(term: Term, tier_at: TierAt, value: float) -> Iterator[float]:
    """Values nearest to `value` that have another tier: at most one below it and one above."""
    if _is_flag(term, value):
        if tier_at(1.0 - value) != tier_at(value):
            yield 1.0 - value
        return
    for end in plausible(term):
        other = _nearest(term, tier_at, value, end)
        if other is not None:
            yield other


def _is_flag(term: Term, value: float) -> bool:
    return term.is_flag and value in {0, 1}


def _nearest(term: Term, tier_at: TierAt, value: float, end: float) -> float | None:
    """Value nearest to `value`, on the way to `end`, that has another tier: halving, down to neighbours."""
    now = tier_at(value)
    if math.isinf(end) or tier_at(end) == now:
        return None
    same, other = value, end
    while same < (middle := same + (other - same) / 2) < other or other < middle < same:
        same, other = (middle, other) if tier_at(middle) == now else (same, middle)
    for rounded in _outward(term, other, up=end > value):
        if (rounded < end if end > value else rounded > end) and tier_at(rounded) != now:
            return rounded
    return end


def _outward(term: Term, value: float, *, up: bool) -> Iterator[float]:
    """Multiples of the last digit told, from `value` outwards."""
    digits = 0 if term.feature == "finding_count" or abs(value) >= 10 else 1 if abs(value) >= 1 else 2
    first = round(value * 10**digits)  # if that is not far enough, the next is
    for step in (0, 1) if up else (0, -1):
        yield (first + step) / 10**digits


def _text(term: Term, label: str, value: float, other: float) -> str:
    flag = _is_flag(term, value)
    now, then = said(value, term.unit, flag=flag), said(other, term.unit, flag=flag)
    least_or_most = flag or other in plausible(term)
    more = "" if least_or_most else " or more" if other > value else " or less"
    return f"{label} were {then}{more} (now {now})"
