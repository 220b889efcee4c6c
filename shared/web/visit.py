"""Who asks: the dependency that every page begins with.

    @router.get("/worklist")
    def worklist(visit: Annotated[Visit, Depends(needs("reader", "engineer"))]) -> Response:
        return visit.page("worklist.html", rows=...)

    @router.post("/scan/{scan}/claim")     # the CSRF token was checked before this is called
    def claim(scan: ScanId, visit: Reader) -> Response:
        ...
        return visit.go("/worklist", said="claimed")

An app with a page that does not begin so is not put together (shared/web/guarded.py).
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from shared.web.guard import SAFE
from shared.web.look import Look
from shared.web.people import Account, People
from shared.web.settings import Pages
from shared.web.tries import Tries

CSRF_FIELD, CSRF_HEADER = "csrf", "X-CSRF-Token"
UNREAD_BODIES = ("application/octet-stream",)
"""Bodies that are streamed, and carry the CSRF token in the header."""


class LoggedOutError(Exception):
    """Nobody is logged in, or the session is over."""


class OneTimeError(Exception):
    """Somebody whose password serves only to choose another."""


class ForbiddenError(Exception):
    """A person without the role, or a form without the session's token; the text is for the person."""


@dataclass(frozen=True)
class Said:
    """What a page says once; `wrong`: that something was not done."""

    text: str
    wrong: bool


@dataclass
class Web:
    """What all pages of one app share; stands at `request.app.state.web`."""

    people: People
    pages: Pages
    look: Look
    tries: Tries = field(default_factory=Tries)
    said: dict[str, Said] = field(default_factory=dict)  # by CSRF token: what the next page says once

    @property
    def cookie(self) -> str:
        """Name of the session's cookie.

        Browsers send a cookie to every port of a machine, so each site's and each coordinator's has a name of
        its own. __Host- binds it to this very host and to TLS (RFC 6265bis, 4.1.3.2).
        """
        product = self.look.product
        return f"{'__Host-' if self.pages.tls else ''}wardround-{product.kind}-{product.name}"

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

    def go(self, path: str, *, said: str | None = None, wrong: str | None = None) -> Response:
        """Send the browser to another of our pages, which says once what was done, or why it was not."""
        if (text := wrong or said) is not None:
            self.web.said[self.csrf] = Said(text, wrong is not None)
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


def login_path(page: str, *, ended: bool = False) -> str:
    """Return where to log in and come back to `page`, a path of our own."""
    asked = {"ended": "true"} if ended else {}
    if page != "/":
        asked["next"] = page
    return f"/login?{urlencode(asked)}" if asked else "/login"


def csrf_of(token: str) -> str:
    """Return the token that a session's forms carry; says nothing about the session's own."""
    return hmac.new(token.encode(), b"wardround csrf", hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Needs:
    """A dependency: the visit of a person who has one of `roles` (none: any person).

    quiet : for what a page asks by itself again and again; it is not written down and keeps no session alive.
        Never make a page quiet that shows more than the one that polls it.
    audited : False for one piece of many that come as streamed bodies and are written down as a whole by the
        page that ends them. It keeps the session alive; a request with any other body is written down.
    one_time : also for somebody whose password serves only to choose another.

    Raises LoggedOutError, OneTimeError or ForbiddenError; what is refused is written down, quiet or not.
    """

    roles: tuple[str, ...]
    quiet: bool = False
    audited: bool = True
    one_time: bool = False

    async def __call__(self, request: Request) -> Visit:
        """Say who asks."""
        web = web_of(request)
        token = request.cookies.get(web.cookie, "")
        account = await run_in_threadpool(
            web.people.session, token, idle=web.idle, longest=web.longest, quiet=self.quiet
        )
        if account is None:
            raise LoggedOutError
        if account.one_time and not self.one_time:
            raise OneTimeError
        csrf = csrf_of(token)
        refusal = await self._refusal(request, account, csrf)
        unwritten = self.quiet or (not self.audited and _is_streamed(request))
        if refusal is not None or not unwritten:
            await run_in_threadpool(
                web.people.note,
                account.name,
                request.method if refusal is None else "REFUSED",
                request.url.path,
                address_of(request),
            )
        if refusal is not None:
            raise ForbiddenError(refusal)
        return Visit(request, account, csrf)

    async def _refusal(self, request: Request, account: Account, csrf: str) -> str | None:
        if request.method not in SAFE and not hmac.compare_digest(
            (await _sent(request)).encode(), csrf.encode()
        ):
            return "The form is too old or not from this page. Open the page again and repeat."
        if self.roles and not set(self.roles) & set(account.roles):
            return (
                f"This page is for the role {' or '.join(self.roles)}; "
                f"{account.name} has {', '.join(account.roles)}."
            )
        return None


def needs(*roles: str, quiet: bool = False, audited: bool = True, one_time: bool = False) -> Needs:
    """Return a dependency that asks for a person with one of `roles`; see Needs."""
    return Needs(roles, quiet, audited, one_time)


async def _sent(request: Request) -> str:
    """Return the CSRF token that came with a request, or nothing."""
    if (sent := request.headers.get(CSRF_HEADER)) is not None:
        return sent
    if _is_streamed(request):
        return ""
    found = (await request.form()).get(CSRF_FIELD)
    return found if isinstance(found, str) else ""


def _is_streamed(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith(UNREAD_BODIES)
