"""The page of an inspection: one file that opens anywhere and loads nothing, for the hospital alone.

A content security policy in it forbids scripts and every address, and all text is escaped: the names of files
can neither run nor fetch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from client.data.inspection import folder as inspection
from client.data.inspection.contact_sheet import colour_of
from client.data.inspection.facts import Inspection, Picture
from client.data.inspection.text import legend, marked, number, overview, ranged, triple, verdict
from shared.files import write_atomically
from shared.pages import Filters, png_source, render

TEMPLATE = Path(__file__).with_name("page.html")


def write_page(found: Inspection, pictures: Mapping[str, Sequence[Picture]], output: Path) -> None:
    """Write the page to `output`, whole or not at all and for its owner only; `pictures` by case."""
    filters: Filters = {
        "number": number,
        "ranged": ranged,
        "triple": triple,
        "marked": marked,
        "colour": lambda value: "rgb({}, {}, {})".format(*colour_of(value)),
        "png": png_source,
    }
    page = render(
        TEMPLATE,
        filters,
        found=found,
        verdict=verdict(found),
        overview=overview(found),
        legend=legend(found),
        most=inspection.MAX_PICTURED,
        lettered=any(picture.letters for drawn in pictures.values() for picture in drawn),
        shown=[case for case in found.facts if case.case in pictures],
        pictures=pictures,
    )
    with write_atomically(output, private=True) as path:
        path.write_text(page, encoding="utf-8")
