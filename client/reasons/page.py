"""The page of one scan: one file that opens anywhere, loads nothing and prints on a sheet or two of A4.

It shows a patient's images and the name of the case, and stays at the hospital. All text is escaped, and a
content security policy forbids scripts and every address.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client.reasons.pictures import SCALE, STOPS, KeySlice
from client.result import PriorityFound, Result
from shared.files import write_atomically
from shared.pages import Filters, png_source, render
from shared.words import TIER_WORDS, percent, place, plain

TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class Part:
    """One part of the score in log-odds, and its bar in percent of the width; zero is where all bars meet."""

    text: str
    log_odds: float
    start: float
    width: float


def page(result: Result, pictures: Sequence[KeySlice] = (), *, notes: Sequence[str] = ()) -> str:
    """Return the page of `result`; `notes` are sentences to stand below the pictures."""
    found = result.priority
    filters: Filters = {
        "png": png_source,
        "percent": percent,
        "place": place,
        "plain": plain,
        "log_odds": _log_odds,
    }
    return render(
        TEMPLATE,
        filters,
        result=result,
        priority=found,
        tier=TIER_WORDS[found.tier] if found else "No place in the reading order",
        parts=_parts(found) if found else [],
        adds_up=found is None or adds_up(found),
        pictures=pictures,
        attributed=any(len(one.pictures) > 2 for one in pictures),
        scale=[(stop, "rgb({}, {}, {})".format(*colour)) for stop, colour in zip(STOPS, SCALE, strict=True)],
        notes=notes,
    )


def write_page(
    path: Path, result: Result, pictures: Sequence[KeySlice] = (), *, notes: Sequence[str] = ()
) -> None:
    """Write the page to `path`, whole or not at all and for its owner only."""
    text = page(result, pictures, notes=notes)
    with write_atomically(path, private=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def adds_up(found: PriorityFound) -> bool:
    """Whether the parts are the whole score, to the last bit."""
    parts = [found.intercept, found.calibration, *(reason.contribution for reason in found.reasons)]
    return math.fsum(parts) == found.log_odds


def _parts(found: PriorityFound) -> list[Part]:
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


def _log_odds(value: float) -> str:
    return f"{value:+z.2f}".replace("-", "−")
