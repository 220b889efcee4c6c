"""What is asked before it is done; the answer yes is a POST to the same address."""

from starlette.responses import Response

from shared.web.visit import Visit


def ask(visit: Visit, title: str, text: str, *, button: str, back: str, **fields: str) -> Response:
    """Ask whether it is meant; `fields` go with the yes, and a no leads `back`."""
    action = visit.request.url.path
    return visit.page(
        "confirm.html", title=title, text=text, action=action, fields=fields, button=button, back=back
    )
