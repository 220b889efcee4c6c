"""Parts of a page that the browser asks for every two seconds; nothing is sent when nothing changed."""

import hashlib
from typing import Any

from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from shared.web.visit import Visit

SEEN = Markup('<input type="hidden" id="seen" name="seen" value="{}">')
"""Goes with each part, and comes back with the next question: what the browser shows now."""


def part(visit: Visit, template: str, **values: Any) -> Markup:
    """Fill in the template of a live part, to be put into its page."""
    text = visit.web.look.render(template, visit=visit, csrf=visit.csrf, **values)
    return Markup(text) + SEEN.format(_digest(text))  # noqa: S704 - a template's own text, escaped by it


def refreshed(visit: Visit, seen: str, template: str, **values: Any) -> Response:
    """Answer a question for a live part: 204 where the browser shows it as it is."""
    found = part(visit, template, **values)
    if found.endswith(SEEN.format(seen)):
        return Response(status_code=204)
    return HTMLResponse(found)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
