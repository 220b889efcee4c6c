"""One app of pages: the guard outside, then bounds, static files, the entry and the product's own routers."""

import os
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, nullcontext
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from shared.errors import ConfigError
from shared.web import entry
from shared.web.bounds import Bounds
from shared.web.guard import Guard
from shared.web.guarded import check_guarded
from shared.web.look import HERE, Look, Product
from shared.web.people import People
from shared.web.settings import Pages
from shared.web.tell import add_handlers, tell_broken
from shared.web.visit import Web

VENDOR = HERE / "static" / "vendor"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Static(StaticFiles):
    """Files that are the same for everybody: browsers keep them and ask each time whether they changed."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Answer with the file, or with 304."""
        answer = super().file_response(full_path, stat_result, scope, status_code)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


def create_app(
    product: Product,
    pages: Pages,
    people: People,
    routers: Sequence[APIRouter],
    *,
    large: Collection[str] = (),
    beside: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> FastAPI:
    """Put an app together.

    `beside` is what runs as long as the app is served; `people` are closed after it. Pages below the paths
    `large` take more than a form, and bound it themselves.

    Raises
    ------
    ConfigError
        The browser's part was not fetched at set-up.
    RuntimeError
        A router has a page that does not say who may open it.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as stack:
            stack.callback(people.close)
            await run_in_threadpool(stack.enter_context, beside())
            try:
                yield
            finally:
                await run_in_threadpool(stack.close)

    if not (VENDOR / "htmx.js").exists():
        raise ConfigError(f"{VENDOR} holds no scripts. Fetch them once: make pages")
    check_guarded((entry.router, *routers), large=large)
    app = FastAPI(
        title=f"Wardround {product.kind}", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan
    )
    web = Web(people, pages, Look(product))
    app.state.web = web
    app.state.first_code = entry.FirstCode()
    app.add_middleware(Bounds, cookie=web.cookie, requests_a_minute=pages.requests_a_minute, large=large)
    app.add_middleware(Guard, hosts=_hosts(pages), tls=pages.tls, broken=tell_broken)
    app.mount("/static/shared", Static(directory=HERE / "static"))
    if product.static is not None:
        app.mount(f"/static/{product.kind}", Static(directory=product.static))
    for router in (entry.router, *routers):
        app.include_router(router)
    add_handlers(app)
    return app


def people_in(folder: Path) -> People:
    """Open the accounts, sessions and views of a folder, for its owner only."""
    path = (folder / "pages.db").absolute()
    path.touch(mode=0o600)  # before SQLite does, which would let others read it
    return People.open_url(f"sqlite:///{path}")


def _hosts(pages: Pages) -> set[str]:
    return {name.lower() for name in (*pages.names, pages.bind, *LOOPBACK)}
