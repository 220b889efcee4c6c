"""An app with a page that nobody guards is not put together."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import APIRouter, Body, Depends
from starlette.responses import Response
from starlette.routing import Route

from shared.web.app import create_app
from shared.web.people import People
from shared.web.settings import Pages
from shared.web.visit import Visit, needs
from tests.shared.web.conftest import Quiet, Reader, product


def unguarded() -> APIRouter:
    made = APIRouter()

    @made.get("/open")
    def page() -> Response:
        return Response()

    return made


def included() -> APIRouter:
    made = APIRouter()
    made.include_router(unguarded())
    return made


def quiet_change() -> APIRouter:
    made = APIRouter()

    @made.post("/change")
    def change(visit: Quiet) -> Response:
        return Response()

    return made


def change_without_audit() -> APIRouter:
    made = APIRouter()

    @made.post("/change")
    def change(visit: Annotated[Visit, Depends(needs("reader", audited=False))]) -> Response:
        return Response()

    return made


def look_without_audit() -> APIRouter:
    made = APIRouter()

    @made.get("/large/look")
    def look(visit: Annotated[Visit, Depends(needs("reader", audited=False))]) -> Response:
        return Response()

    return made


def reads_json() -> APIRouter:
    made = APIRouter()

    @made.post("/json")
    def change(visit: Reader, values: Annotated[dict[str, str], Body()]) -> Response:
        return Response()

    return made


def no_api_route() -> APIRouter:
    return APIRouter(routes=[Route("/raw", lambda request: Response())])


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (unguarded, "/open does not say who may open it"),
        (included, "/open does not say who may open it"),
        (quiet_change, "/change changes something and is quiet"),
        (change_without_audit, "/change takes no streamed bodies and is not audited"),
        (look_without_audit, "/large/look takes no streamed bodies and is not audited"),
        (reads_json, "/json reads a body that is no form"),
        (no_api_route, "nothing checks who asks"),
    ],
)
def test_it_says_which_page(made: Callable[[], APIRouter], says: str, people: People, tmp_path: Path) -> None:
    with pytest.raises((RuntimeError, TypeError), match=says):
        create_app(product(tmp_path), Pages(), people, [made()], large=("/large/",))
