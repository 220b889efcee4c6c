"""An app with a few pages of its own, and people of each kind."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import pytest
from argon2 import PasswordHasher
from fastapi import APIRouter, Depends, FastAPI, Form, HTTPException
from starlette.responses import Response

from shared.web import passwords, people_page
from shared.web.app import create_app, people_in
from shared.web.look import MenuItem, Product
from shared.web.people import People
from shared.web.settings import Pages
from shared.web.visit import Visit, needs
from tests.browsing import Browser
from tests.client.web.sample import PASSWORD

CASE = "Okafor_1"
ROLES = {"reader": "reads", "engineer": "keeps"}

Reader = Annotated[Visit, Depends(needs("reader"))]
Quiet = Annotated[Visit, Depends(needs("reader", quiet=True))]


def few_pages() -> APIRouter:
    router = APIRouter()

    @router.get("/worklist")
    def worklist(visit: Reader) -> Response:
        return Response("the list")

    @router.get("/worklist/rows")
    def rows(visit: Quiet) -> Response:
        return Response("rows")

    @router.post("/worklist/claim")
    def claim(visit: Reader, scan: Annotated[str, Form()]) -> Response:
        return Response(f"claimed {scan}")

    @router.get("/breaks")
    def breaks(visit: Reader) -> Response:
        raise ValueError(f"no {CASE}") from KeyError(CASE)

    @router.get("/gone")
    def gone(visit: Reader) -> Response:
        raise HTTPException(404)

    return router


def product(folder: Path) -> Product:
    menu = (MenuItem("/worklist", "Worklist", ("reader",)), MenuItem("/people", "People", ("engineer",)))
    return Product("hospital", "north", {"reader": "/worklist", "engineer": "/people"}, ROLES, menu, folder)


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[People]:
    """Amal may do all; Bo reads only."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", quick)
    monkeypatch.setattr(passwords, "_NOBODY", quick.hash("nobody's"))
    with closing(people_in(tmp_path)) as made:
        made.add("amal", PASSWORD, ROLES)
        made.add("bo", PASSWORD, ["reader"])
        yield made


@pytest.fixture
def app(people: People, tmp_path: Path) -> FastAPI:
    return create_app(product(tmp_path), Pages(), people, [few_pages(), people_page.router])


@pytest.fixture
def stranger(app: FastAPI) -> Iterator[Browser]:
    """Somebody who is not logged in."""
    with Browser(app) as browser:
        yield browser


@pytest.fixture
def browser(app: FastAPI) -> Iterator[Browser]:
    """Amal, logged in."""
    with Browser(app) as browser:
        browser.log_in("amal", PASSWORD)
        yield browser
