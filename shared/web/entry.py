"""Coming in and going out: log in, the first account, one's own password, log out."""

import hmac
import secrets
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from shared.errors import ConfigError
from shared.web.look import lasting
from shared.web.paths import own_path
from shared.web.visit import Visit, Web, address_of, needs, web_of

router = APIRouter()
Anybody = Annotated[Visit, Depends(needs())]
Newcomer = Annotated[Visit, Depends(needs(one_time=True))]
"""Also somebody who has to choose a password first."""


class FirstCode:
    """The code that the terminal shows while there is no account; whoever can read it may make the first."""

    def __init__(self) -> None:
        digits = f"{secrets.randbelow(10**12):012d}"
        self.text = "-".join(digits[start : start + 4] for start in range(0, 12, 4))

    def is_(self, given: str) -> bool:
        """Compare without telling by the time it takes."""
        return hmac.compare_digest(given.strip().replace(" ", "").encode(), self.text.encode())


@router.get("/login")
def login(request: Request, ended: bool = False, next: str = "/") -> Response:  # noqa: A002 - as it is called
    """Show the form."""
    web = web_of(request)
    if web.people.nobody_yet():
        return RedirectResponse("/first", status_code=303)
    why = "Your session is over. Log in again." if ended else None
    return _form(web, "login.html", why=why, next=own_path(next))


@router.post("/login")
def log_in(
    request: Request,
    name: Annotated[str, Form()],
    password: Annotated[str, Form()],
    next: Annotated[str, Form()] = "/",  # noqa: A002 - as it is called
) -> Response:
    """Begin a session; the answer says nothing about which of the two was wrong."""
    web, address = web_of(request), address_of(request)
    if wait_s := web.tries.begin(name, address):
        return _wait(web, "login.html", wait_s, next=own_path(next))
    if not web.people.password_is(name, password):
        web.people.note(web.people.known(name), "REFUSED", "/login", address)
        return _form(web, "login.html", why="Name or password is wrong.", status=403, next=own_path(next))
    web.tries.was_right(name, address)
    web.people.note(name, "LOGIN", "/login", address)
    return _welcome(request, name, own_path(next))


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
    if wait_s := web.tries.begin("", address_of(request)):
        return _wait(web, "first.html", wait_s)
    if not expected.is_(code):
        return _form(web, "first.html", why="The code is another one. The terminal shows it.", status=403)
    web.tries.was_right("", address_of(request))
    if password != again:
        return _form(web, "first.html", why="The two passwords differ.", status=422)
    try:
        web.people.add(name.strip(), password, web.look.product.roles, first=True)
    except ConfigError as error:
        return _form(web, "first.html", why=str(error), status=422)
    web.people.note(name.strip(), "LOGIN", "/first", address_of(request))
    return _welcome(request, name.strip())


@router.post("/logout")
def log_out(visit: Newcomer) -> Response:
    """End the session."""
    web = visit.web
    web.people.log_out(visit.request.cookies[web.cookie])
    answer = RedirectResponse("/login", status_code=303)
    answer.delete_cookie(web.cookie, secure=web.pages.tls, httponly=True, samesite="strict")
    return answer


@router.get("/")
def home(visit: Anybody) -> Response:
    """Go where the person's first role begins."""
    product = visit.web.look.product
    return visit.go(next((path for role, path in product.home.items() if visit.has(role)), "/account"))


@router.get("/account")
def account(visit: Newcomer) -> Response:
    """Show one's own account."""
    return visit.page("account.html", why=None)


@router.post("/account")
def change_password(
    visit: Newcomer,
    password: Annotated[str, Form()],
    new: Annotated[str, Form()],
    again: Annotated[str, Form()],
) -> Response:
    """Change one's own password; every session of the account is over then."""
    people, name, address = visit.web.people, visit.account.name, address_of(visit.request)
    if wait_s := visit.web.tries.begin(name, address):
        return visit.page("account.html", why=_too_often(wait_s), status=429)
    if not people.password_is(name, password):
        people.note(name, "REFUSED", "/account", address)
        return visit.page("account.html", why="The present password is wrong.", status=403)
    visit.web.tries.was_right(name, address)
    if new != again:
        return visit.page("account.html", why="The two new passwords differ.", status=422)
    if new == password:
        return visit.page("account.html", why="The new password is the present one.", status=422)
    try:
        people.set_password(name, new)
    except ConfigError as error:
        return visit.page("account.html", why=str(error), status=422)
    return _welcome(visit.request, name)


def _form(web: Web, template: str, *, why: str | None = None, status: int = 200, **values: str) -> Response:
    return HTMLResponse(web.look.render(template, why=why, **values), status_code=status)


def _wait(web: Web, template: str, wait_s: float, **values: str) -> Response:
    answer = _form(web, template, why=_too_often(wait_s), status=429, **values)
    answer.headers["Retry-After"] = f"{wait_s + 1:.0f}"
    return answer


def _too_often(wait_s: float) -> str:
    return f"That was wrong too often. Try again in {lasting(wait_s + 1)}."


def _welcome(request: Request, name: str, path: str = "/") -> Response:
    """Begin a new session, whatever cookie came: none that was there before is taken over."""
    web = web_of(request)
    if old := request.cookies.get(web.cookie):
        web.people.log_out(old)
    web.people.sweep(idle=web.idle, longest=web.longest)
    answer = RedirectResponse(path, status_code=303)
    answer.set_cookie(
        web.cookie,
        web.people.log_in(name),
        httponly=True,
        samesite="strict",
        secure=web.pages.tls,
        path="/",
    )
    return answer
