"""The score as the sum that it is: its parts, their bars, and whether they add up. Needs no network."""

import math
from dataclasses import dataclass

from client.result import PriorityFound


@dataclass(frozen=True)
class Part:
    """One part of the score in log-odds, and its bar in percent of the width; zero is where all bars meet."""

    text: str
    log_odds: float
    start: float
    width: float


def adds_up(found: PriorityFound) -> bool:
    """Whether the parts are the whole score, to the last bit."""
    parts = [found.intercept, found.calibration, *(reason.contribution for reason in found.reasons)]
    return math.fsum(parts) == found.log_odds


def parts(found: PriorityFound) -> list[Part]:
    """List all that the score is the sum of: start, terms in the order of the result, calibration."""
    told = [("every scan starts with", found.intercept)]
    told += [(reason.text.rpartition(": ")[0], reason.contribution) for reason in found.reasons]
    if found.calibration:
        told.append(("the calibration changes it by", found.calibration))
    low, high = min(0.0, *(value for _, value in told)), max(0.0, *(value for _, value in told))
    percent_of = 100 / max(high - low, 1e-9)
    return [
        Part(text, value, (min(0.0, value) - low) * percent_of, abs(value) * percent_of)
        for text, value in told
    ]
