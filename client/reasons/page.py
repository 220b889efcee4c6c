"""The page of one scan: one file that opens anywhere, loads nothing and prints on a sheet or two of A4.

It shows a patient's images and the name of the case, and stays at the hospital. All text is escaped, and a
content security policy forbids scripts and every address.
"""

from collections.abc import Sequence
from pathlib import Path

from client.reasons.pictures import SCALE, STOPS, KeySlice
from client.reasons.score import adds_up, parts
from client.result import Result
from shared.files import write_atomically
from shared.pages import Filters, png_source, render
from shared.words import TIER_WORDS, log_odds, percent, place, plain

TEMPLATE = Path(__file__).with_name("page.html")


def page(result: Result, pictures: Sequence[KeySlice] = (), *, notes: Sequence[str] = ()) -> str:
    """Return the page of `result`; `notes` are sentences to stand below the pictures."""
    found = result.priority
    filters: Filters = {
        "png": png_source,
        "percent": percent,
        "place": place,
        "plain": plain,
        "log_odds": log_odds,
    }
    return render(
        TEMPLATE,
        filters,
        result=result,
        priority=found,
        tier=TIER_WORDS[found.tier] if found else "No place in the reading order",
        parts=parts(found) if found else [],
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
