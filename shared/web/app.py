"""One app of pages: the guard outside, then static files, the entry, and the product's own routers."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, nullcontext
from http import HTTPStatus
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from shared.errors import ConfigError, WardroundError
from shared.web import entry
from shared.web.guard import Guard
from shared.web.look import HERE, Look, Product
from shared.web.people import People
from shared.web.settings import Pages
from shared.web.visit import ForbiddenError, LoggedOutError, Web, web_of

VENDOR = HERE / "static" / "vendor"
LOOPBACK = ("127.0.0.1", "::1", "localhost")

_log = logging.getLogger("wardround.pages")


def create_app(
    product: Product,
    pages: Pages,
    people: People,
    routers: Sequence[APIRouter],
    *,
    beside: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> FastAPI:
    """Put an app together; `beside` is what runs as long as it is served.

    Raises ConfigError where the browser's part was not fetched at set-up.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as stack:
            await run_in_threadpool(stack.enter_context, beside())
            try:
                yield
            finally:
                await run_in_threadpool(stack.close)

    if not (VENDOR / "htmx.js").exists():
        raise ConfigError(f"{VENDOR} holds no scripts. Fetch them once: make pages")
    app = FastAPI(
        title=f"Wardround {product.kind}", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan
    )
    app.state.web = Web(people, pages, Look(product))
    app.state.first_code = entry.FirstCode()
    app.add_middleware(Guard, hosts=_hosts(pages), tls=pages.tls)
    app.mount("/static/shared", StaticFiles(directory=HERE / "static"))
    if product.static is not None:
        app.mount(f"/static/{product.kind}", StaticFiles(directory=product.static))
    for router in (entry.router, *routers):
        app.include_router(router)
    app.add_exception_handler(LoggedOutError, _logged_out)
    app.add_exception_handler(ForbiddenError, _forbidden)
    app.add_exception_handler(WardroundError, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _unread)
    app.add_exception_handler(Exception, _broken)
    return app


def people_in(folder: Path) -> People:
    """Open the accounts, sessions and views of a folder, for its owner only."""
    path = (folder / "pages.db").absolute()
    path.touch(mode=0o600)  # before SQLite does, which would let others read it
    return People.open_url(f"sqlite:///{path}")


def _hosts(pages: Pages) -> set[str]:
    return {name.lower() for name in (*pages.names, pages.bind, *LOOPBACK)}


def _logged_out(request: Request, _: Exception) -> Response:
    ended = "?ended=true" if request.cookies else ""
    if request.headers.get("hx-request") == "true":
        return Response(status_code=401, headers={"HX-Redirect": f"/login{ended}"})
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(f"/login{ended}", status_code=303)
    return Response("Log in first.\n", status_code=401, media_type="text/plain")


def _forbidden(request: Request, error: Exception) -> Response:
    return _told(request, "Not allowed", str(error), 403)


def _refused(request: Request, error: Exception) -> Response:
    return _told(request, "That cannot be done", str(error), 409)


def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == HTTPStatus.NOT_FOUND:
        return _told(request, "Not found", "There is no such page, or what it showed is gone.", status)
    return _told(request, "Not done", str(getattr(error, "detail", "")), status)


def _unread(request: Request, _: Exception) -> Response:
    return _told(request, "Not understood", "A field of the form is missing or has another type.", 422)


def _broken(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _told(request, "Something broke", "The whole story is in this machine's log. Try again.", 500)


def _told(request: Request, title: str, text: str, status: int) -> HTMLResponse:
    """Tell an error: on the page that is open where a part of it was asked for, else as a page."""
    look = web_of(request).look
    if request.headers.get("hx-request") == "true":
        headers = {"HX-Retarget": "#message", "HX-Reswap": "innerHTML"}
        return HTMLResponse(look.render("message.html", text=text), status_code=status, headers=headers)
    return HTMLResponse(look.render("error.html", title=title, text=text), status_code=status)
