"""All pages of the hospital, one after the other: none opens without a session, a role and a token."""

import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Mount

from client.web.roles import ROLES
from shared.web.guard import SAFE
from shared.web.guarded import OPEN, needs_of, routes_of
from shared.web.people import MANAGERS
from tests.browsing import Browser

FOR_ANYBODY = {"/", "/account", "/logout"}


def every_route(app: FastAPI) -> Iterator[tuple[str, str, APIRoute]]:
    """Yield method, address and route of each page; static files are no pages."""
    mounts = [route for route in app.routes if isinstance(route, Mount)]
    assert {mount.path for mount in mounts} == {"/static/shared", "/static/hospital"}
    app.router.routes[:] = [route for route in app.routes if not isinstance(route, Mount)]
    for route in routes_of([app.router]):
        assert isinstance(route, APIRoute), route
        for method in sorted(route.methods or ()):
            if (method, route.path) not in OPEN:
                yield method, re.sub(r"\{[^}]*\}", "x", route.path), route


def test_there_are_pages(app: FastAPI) -> None:
    assert {"/worklist", "/people", "/account"} <= {path for _, path, _ in every_route(app)}


def test_no_page_opens_without_a_session(app: FastAPI) -> None:
    with Browser(app) as stranger:
        for method, path, _ in every_route(app):
            answer = stranger.request(method, path)
            assert answer.status_code == 401, (method, path)
            page = stranger.request(method, path, headers={"accept": "text/html"}, follow_redirects=False)
            assert (page.status_code, page.headers["location"][:6]) == (303, "/login"), (method, path)


def test_nothing_is_changed_without_the_token(browser: Browser, app: FastAPI) -> None:
    for method, path, _ in every_route(app):
        if method not in SAFE:
            form = browser.request(method, path, data={"csrf": "0" * 64})
            assert form.status_code in {403, 422}, (method, path)  # 422: a field is missing besides
            stream = {"content-type": "application/octet-stream"}
            streamed = browser.request(method, path, content=b"x", headers=stream)
            assert streamed.status_code in {403, 422}, (method, path)


def test_every_page_names_its_roles_and_the_menu_leads_only_to_them(app: FastAPI) -> None:
    for method, path, route in every_route(app):
        found = needs_of(route)
        assert found is not None, (method, path)
        assert set(found.roles) <= ROLES.keys() | MANAGERS, (method, path)
        assert bool(found.roles) != (path in FOR_ANYBODY), f"{method} {path} names no role"
        assert not found.one_time or path in FOR_ANYBODY
        for item in app.state.web.look.product.menu:
            if item.path == path and method == "GET":
                assert set(item.roles) == set(found.roles) & ROLES.keys(), f"the menu about {path}"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_opens_its_pages_and_no_others(app: FastAPI, role: str) -> None:
    app.state.web.people.add("bo", "correct horse battery", [role])
    with Browser(app) as bo:
        bo.log_in("bo", "correct horse battery")
        for method, path, route in every_route(app):
            found = needs_of(route)
            if found is not None and found.roles and role not in found.roles:
                fields = {"csrf": bo.csrf} if method not in SAFE else None
                assert bo.request(method, path, data=fields).status_code in {403, 422}, (method, path)
