"""No page without a guard: an app with a route that nobody checks is not put together at all."""

from collections.abc import Collection, Iterator, Sequence

from fastapi import APIRouter, params
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from shared.web.guard import SAFE
from shared.web.visit import Needs

OPEN = {("GET", "/login"), ("POST", "/login"), ("GET", "/first"), ("POST", "/first")}
"""What a person who is not logged in may ask for, besides static files."""


def check_guarded(routers: Sequence[APIRouter], *, large: Collection[str] = ()) -> None:
    """Raise RuntimeError or TypeError for a route that nobody guards: without `needs(...)`, or with JSON.

    FastAPI reads a body before it asks who sends it, and one of JSON whole.
    """
    for route in routes_of(routers):
        if not isinstance(route, APIRoute):
            raise TypeError(f"{route} is no APIRoute: nothing checks who asks for it. Use @router.get.")
        methods = route.methods or set()
        found = needs_of(route)
        if found is None and not {(method, route.path) for method in methods} <= OPEN:
            raise RuntimeError(f"{route.path} does not say who may open it: depend on needs(...).")
        if found is not None and found.quiet and not methods <= SAFE:
            raise RuntimeError(f"{route.path} changes something and is quiet: nothing would be written down.")
        if found is not None and not found.audited and (methods & SAFE or not _takes_much(route, large)):
            raise RuntimeError(f"{route.path} takes no streamed bodies and is not audited.")
        body = route.body_field
        if body is not None and _takes_much(route, large):
            raise RuntimeError(f"{route.path} takes much: read its form after needs(...), not by Form().")
        if body is not None and not isinstance(body.field_info, params.Form):
            raise RuntimeError(f"{route.path} reads a body that is no form. Use Form() or stream it.")


def needs_of(route: APIRoute) -> Needs | None:
    """Return who may open a route."""
    calls = (dependency.call for dependency in route.dependant.dependencies)
    return next((call for call in calls if isinstance(call, Needs)), None)


def _takes_much(route: APIRoute, large: Collection[str]) -> bool:
    return route.path.startswith(tuple(large))


def routes_of(routers: Sequence[APIRouter]) -> Iterator[BaseRoute]:
    """Yield the routes of routers and of those that they include."""
    for router in routers:
        for route in router.routes:
            inner = getattr(route, "original_router", None)
            if inner is None:
                yield route
            else:
                yield from routes_of([inner])
