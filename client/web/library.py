"""What the pages Data and Reports share; stands at `request.app.state.library`."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from starlette.responses import HTMLResponse, Response

from client.datasets.looks import Looks
from client.datasets.registry import Registry
from client.web.hospital import Hospital
from client.web.waits import Waits

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)
"""Of pages that programs wrote into `work`: they hold their own style and pictures and no script.

The sandbox gives them an origin of their own: whatever a file there may hold, it reaches neither the session
nor any other page.
"""


@dataclass
class Library:
    """One site's data sets and what is known of its waiting times."""

    hospital: Hospital

    @cached_property
    def registry(self) -> Registry:
        """The data sets."""
        return Registry(self.hospital.site_file)

    @cached_property
    def looks(self) -> Looks:
        """The inspections."""
        return Looks(self.hospital.site.work / "pages" / "inspection", self.registry)

    @cached_property
    def waits(self) -> Waits:
        """The analysis of waiting times."""
        return Waits(self.hospital.site_file, self.hospital.site.work / "pages" / "waiting.json")


def library_of(request: Request) -> Library:
    """Return the library of the app."""
    library: Library = request.app.state.library
    return library


InLibrary = Annotated[Library, Depends(library_of)]


def sandboxed(path: Path) -> Response:
    """Show a page that a program wrote into a file, with nothing allowed but what is in it."""
    text = path.read_text(encoding="utf-8")
    return HTMLResponse(text, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})
