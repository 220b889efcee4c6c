"""Errors, told to a person: on the page that is open where a part of it was asked for, else as a page."""

import logging
import traceback
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from shared.errors import WardroundError
from shared.web.paths import page_left
from shared.web.visit import ForbiddenError, LoggedOutError, OneTimeError, login_path, web_of

_log = logging.getLogger("wardround.pages")


def tell(
    request: Request, title: str, text: str, status: int, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """Return an error as a page or as the message of the page that is open."""
    look = web_of(request).look
    if request.headers.get("hx-request") == "true":
        told = {**(headers or {}), "HX-Retarget": "#message", "HX-Reswap": "innerHTML"}
        return HTMLResponse(look.render("message.html", text=text), status_code=status, headers=told)
    page = look.render("error.html", title=title, text=text)
    return HTMLResponse(page, status_code=status, headers=dict(headers or {}))


def tell_broken(request: Request, error: Exception) -> Response:
    """Tell what nobody expected; the log gets where it broke and no text, which may name a case."""
    _log.error("%s %s failed\n%s", request.method, request.url.path, where(error))
    return tell(request, "Something broke", "This machine's log says where. Try again, or report it.", 500)


def where(error: BaseException) -> str:
    """Return an error's types and places, with its causes, without its text."""
    lines = []
    found: BaseException | None = error
    while found is not None:
        lines.append(type(found).__qualname__)
        frames = traceback.extract_tb(found.__traceback__)
        lines += [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return "\n".join(lines)


def add_handlers(app: FastAPI) -> None:
    """Let an app tell the errors that its pages raise."""
    app.add_exception_handler(LoggedOutError, _logged_out)
    app.add_exception_handler(OneTimeError, _one_time)
    app.add_exception_handler(ForbiddenError, _forbidden)
    app.add_exception_handler(WardroundError, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _unread)


def _logged_out(request: Request, _: Exception) -> Response:
    ended = web_of(request).cookie in request.cookies
    return _elsewhere(request, login_path(page_left(request), ended=ended), "Log in first.\n")


def _one_time(request: Request, _: Exception) -> Response:
    return _elsewhere(request, "/account", "Choose a password of your own first.\n")


def _elsewhere(request: Request, path: str, text: str) -> Response:
    """Send a browser to another page; tell a script in words."""
    if request.headers.get("hx-request") == "true":
        return Response(status_code=401, headers={"HX-Redirect": path})
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(path, status_code=303)
    return Response(text, status_code=401, media_type="text/plain")


def _forbidden(request: Request, error: Exception) -> Response:
    return tell(request, "Not allowed", str(error), 403)


def _refused(request: Request, error: Exception) -> Response:
    return tell(request, "That cannot be done", str(error), 409)


def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == HTTPStatus.NOT_FOUND:
        return tell(request, "Not found", "There is no such page, or what it showed is gone.", 404)
    return tell(request, "Not done", error.detail, error.status_code, error.headers)


def _unread(request: Request, _: Exception) -> Response:
    return tell(request, "Not understood", "A field of the form is missing or has another type.", 422)
