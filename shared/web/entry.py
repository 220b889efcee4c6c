"""Coming in and going out: log in, the first account, one's own password, log out."""

import hmac
import secrets
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from shared.errors import ConfigError
from shared.web.people import People
from shared.web.visit import COOKIE, Visit, Web, address_of, needs, web_of

router = APIRouter()
Anybody = Annotated[Visit, Depends(needs())]


class FirstCode:
    """The code that the terminal shows while there is no account; whoever can read it may make the first."""

    def __init__(self) -> None:
        digits = f"{secrets.randbelow(10**12):012d}"
        self.text = "-".join(digits[start : start + 4] for start in range(0, 12, 4))

    def is_(self, given: str) -> bool:
        """Compare without telling by the time it takes."""
        return hmac.compare_digest(given.strip().replace(" ", "").encode(), self.text.encode())


@router.get("/login")
def login(request: Request, ended: bool = False) -> Response:
    """Show the form."""
    web = web_of(request)
    if web.people.nobody_yet():
        return RedirectResponse("/first", status_code=303)
    why = "Your session is over. Log in again." if ended else None
    return _form(web, "login.html", why=why)


@router.post("/login")
def log_in(request: Request, name: Annotated[str, Form()], password: Annotated[str, Form()]) -> Response:
    """Begin a session; the answer says nothing about which of the two was wrong."""
    web, address = web_of(request), address_of(request)
    if not web.people.password_is(name, password):
        web.people.note(name[:64], "REFUSED", "/login", address)
        return _form(web, "login.html", why="Name or password is wrong.", status=403)
    web.people.note(name, "LOGIN", "/login", address)
    return _welcome(web, name)


@router.get("/first")
def first(request: Request) -> Response:
    """Show the form for the first account."""
    web = web_of(request)
    if not web.people.nobody_yet():
        return RedirectResponse("/login", status_code=303)
    return _form(web, "first.html")


@router.post("/first")
def make_first(
    request: Request,
    code: Annotated[str, Form()],
    name: Annotated[str, Form()],
    password: Annotated[str, Form()],
    again: Annotated[str, Form()],
) -> Response:
    """Make the first account, which has every role, and log it in."""
    web = web_of(request)
    expected: FirstCode = request.app.state.first_code
    if not expected.is_(code):
        return _form(web, "first.html", why="The code is another one. The terminal shows it.", status=403)
    if password != again:
        return _form(web, "first.html", why="The two passwords differ.", status=422)
    try:
        web.people.add(name.strip(), password, web.look.product.roles, first=True)
    except ConfigError as error:
        return _form(web, "first.html", why=str(error), status=422)
    web.people.note(name.strip(), "LOGIN", "/first", address_of(request))
    return _welcome(web, name.strip())


@router.post("/logout")
def log_out(visit: Anybody) -> Response:
    """End the session."""
    visit.web.people.log_out(visit.request.cookies[COOKIE])
    answer = RedirectResponse("/login", status_code=303)
    answer.delete_cookie(COOKIE)
    return answer


@router.get("/")
def home(visit: Anybody) -> Response:
    """Go where the person's first role begins."""
    product = visit.web.look.product
    return visit.go(next((path for role, path in product.home.items() if visit.has(role)), "/account"))


@router.get("/account")
def account(visit: Anybody) -> Response:
    """Show one's own account."""
    return visit.page("account.html", why=None)


@router.post("/account")
def change_password(
    visit: Anybody,
    password: Annotated[str, Form()],
    new: Annotated[str, Form()],
    again: Annotated[str, Form()],
) -> Response:
    """Change one's own password; every session of the account is over then."""
    people: People = visit.web.people
    if not people.password_is(visit.account.name, password):
        return visit.page("account.html", why="The present password is wrong.", status=403)
    if new != again:
        return visit.page("account.html", why="The two new passwords differ.", status=422)
    try:
        people.set_password(visit.account.name, new)
    except ConfigError as error:
        return visit.page("account.html", why=str(error), status=422)
    return _welcome(visit.web, visit.account.name)


def _form(web: Web, template: str, *, why: str | None = None, status: int = 200) -> Response:
    return Response(web.look.render(template, why=why), status_code=status, media_type="text/html")


def _welcome(web: Web, name: str) -> Response:
    answer = RedirectResponse("/", status_code=303)
    answer.set_cookie(
        COOKIE, web.people.log_in(name), httponly=True, samesite="strict", secure=web.pages.tls, path="/"
    )
    return answer
