"""Who asks: the dependency that every page begins with.

@router.get("/worklist")
def worklist(visit: Annotated[Visit, Depends(needs("reader", "engineer"))]) -> Response:
return visit.page("worklist.html", rows=...)

@router.post("/scan/{scan}/claim")     # the CSRF token was checked before this is called
def claim(scan: ScanId, visit: Reader) -> Response:
...
return visit.go("/worklist", said="claimed")
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from shared.web.guard import SAFE
from shared.web.look import Look
from shared.web.people import Account, People
from shared.web.settings import Pages

COOKIE = "wardround-session"
CSRF_FIELD, CSRF_HEADER = "csrf", "X-CSRF-Token"
UNREAD_BODIES = ("application/octet-stream",)
"""Bodies that are streamed, and carry the CSRF token in the header."""


class LoggedOutError(Exception):
    """Nobody is logged in, or the session is over."""


class ForbiddenError(Exception):
    """A person without the role, or a form without the session's token; the text is for the person."""


@dataclass
class Web:
    """What all pages of one app share; stands at `request.app.state.web`."""

    people: People
    pages: Pages
    look: Look
    said: dict[str, str] = field(default_factory=dict)  # by CSRF token: what the next page says once

    @property
    def idle(self) -> timedelta:
        """After which a session without requests is over."""
        return timedelta(minutes=self.pages.idle_minutes)

    @property
    def longest(self) -> timedelta:
        """After which a session is over in any case."""
        return timedelta(hours=self.pages.session_hours)


@dataclass(frozen=True)
class Visit:
    """One request of one person."""

    request: Request
    account: Account
    csrf: str

    @property
    def web(self) -> Web:
        """What all pages share."""
        return web_of(self.request)

    @property
    def is_fragment(self) -> bool:
        """Whether htmx asks, for a part of a page."""
        return self.request.headers.get("hx-request") == "true"

    def has(self, *roles: str) -> bool:
        """Whether the person has one of these roles."""
        return bool(set(roles) & set(self.account.roles))

    def page(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """Fill in a template, whole page or fragment; `visit`, `csrf` and the menu are there already."""
        said = None if self.is_fragment else self.web.said.pop(self.csrf, None)
        text = self.web.look.render(
            template, visit=self, csrf=self.csrf, said=said, path=self.request.url.path, **values
        )
        return HTMLResponse(text, status_code=status)

    def go(self, path: str, *, said: str | None = None) -> Response:
        """Send the browser to another of our pages, which says once what was done."""
        if said is not None:
            self.web.said[self.csrf] = said
        if self.is_fragment:
            return Response(status_code=204, headers={"HX-Redirect": path})
        return RedirectResponse(path, status_code=303)


def web_of(request: Request) -> Web:
    """Return what all pages of the app share."""
    web: Web = request.app.state.web
    return web


def address_of(request: Request) -> str:
    """Address that a request comes from."""
    return "" if request.client is None else request.client.host


def csrf_of(token: str) -> str:
    """Return the token that a session's forms carry; says nothing about the session's own."""
    return hmac.new(token.encode(), b"wardround csrf", hashlib.sha256).hexdigest()


def needs(*roles: str, quiet: bool = False) -> Callable[[Request], Awaitable[Visit]]:
    """Return a dependency: the visit of a person who has one of `roles` (none given: any person).

    `quiet` is for what a page asks by itself again and again: it is not written down and keeps no session
    alive. Never make a page quiet that shows more than the one that polls it.
    """

    async def visit(request: Request) -> Visit:
        web = web_of(request)
        token = request.cookies.get(COOKIE, "")
        account = await run_in_threadpool(
            web.people.session, token, idle=web.idle, longest=web.longest, quiet=quiet
        )
        if account is None:
            raise LoggedOutError
        if not quiet:
            await run_in_threadpool(
                web.people.note, account.name, request.method, request.url.path, address_of(request)
            )
        csrf = csrf_of(token)
        if request.method not in SAFE and not hmac.compare_digest(await _sent(request), csrf):
            raise ForbiddenError("The form is too old or not from this page. Open the page again and repeat.")
        if roles and not set(roles) & set(account.roles):
            raise ForbiddenError(
                f"This page is for the role {' or '.join(roles)}; "
                f"{account.name} has {', '.join(account.roles)}."
            )
        return Visit(request, account, csrf)

    return visit


async def _sent(request: Request) -> str:
    """Return the CSRF token that came with a request, or nothing."""
    if (sent := request.headers.get(CSRF_HEADER)) is not None:
        return sent
    if request.headers.get("content-type", "").startswith(UNREAD_BODIES):
        return ""
    found = (await request.form()).get(CSRF_FIELD)
    return found if isinstance(found, str) else ""
