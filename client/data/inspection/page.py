"""The page of an inspection: one file that opens anywhere and loads nothing, for the hospital alone.

A content security policy in it forbids scripts and every address, and all text is escaped: the names of files
can neither run nor fetch.
"""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from client.data.inspection import folder as inspection
from client.data.inspection.contact_sheet import colour_of
from client.data.inspection.facts import Inspection, Picture
from client.data.inspection.text import legend, marked, number, overview, ranged, triple, verdict
from shared.files import write_atomically

TEMPLATE = Path(__file__).with_name("page.html")


def write_page(found: Inspection, pictures: Mapping[str, Sequence[Picture]], output: Path) -> None:
    """Write the page to `output`, whole or not at all and for its owner only; `pictures` by case."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": number,
        "ranged": ranged,
        "triple": triple,
        "marked": marked,
        "colour": lambda value: "rgb({}, {}, {})".format(*colour_of(value)),
        "png": lambda png: f"data:image/png;base64,{base64.b64encode(png).decode()}",
    }
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
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
