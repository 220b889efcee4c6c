"""Accounts: who may log in, as what. For those who keep the hospital's or the coordinator's pages."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Form
from starlette.responses import Response

from shared.errors import ConfigError
from shared.web.keeper import Keeper
from shared.web.people import MANAGERS
from shared.web.visit import Visit, address_of, needs

router = APIRouter()
Manager = Annotated[Visit, Depends(needs(*sorted(MANAGERS)))]
Name = Annotated[str, Form()]
Roles = Annotated[list[str], Form()]


@router.get("/people")
def people(visit: Manager) -> Response:
    """Show all accounts."""
    return _page(visit)


@router.post("/people/add")
def add(visit: Manager, name: Name, role: Roles = []) -> Response:  # noqa: B006 - fastapi copies it
    """Make an account with a password that serves once, and show that password once."""
    try:
        password = _keeper(visit).add(name.strip(), role)
    except ConfigError as error:
        return _page(visit, why=str(error), status=422)
    return _page(visit, made=name.strip(), password=password)


@router.post("/people/password")
def password(visit: Manager, name: Name) -> Response:
    """Give somebody a new password that serves once, and show it once."""
    if name == visit.account.name:
        return visit.go("/account", said="Your own password is changed here.")
    try:
        password = _keeper(visit).set_password(name)
    except ConfigError as error:
        return _page(visit, why=str(error), status=422)
    return _page(visit, made=name, password=password)


@router.post("/people/roles")
def roles(visit: Manager, name: Name, role: Roles = []) -> Response:  # noqa: B006 - fastapi copies it
    """Give somebody other roles."""
    return _done(visit, lambda keeper: keeper.set_roles(name, role), f"{name} is now {', '.join(role)}.")


@router.post("/people/disable")
def disable(visit: Manager, name: Name) -> Response:
    """Let somebody log in no more."""
    return _done(visit, lambda keeper: keeper.disable(name), f"{name} cannot log in any more.")


@router.post("/people/enable")
def enable(visit: Manager, name: Name) -> Response:
    """Let somebody log in again."""
    return _done(visit, lambda keeper: keeper.enable(name), f"{name} can log in again.")


def _done(visit: Visit, change: Callable[[Keeper], None], said: str) -> Response:
    try:
        change(_keeper(visit))
    except ConfigError as error:
        return _page(visit, why=str(error), status=422)
    return visit.go("/people", said=said)


def _keeper(visit: Visit) -> Keeper:
    roles = visit.web.look.product.roles
    return Keeper(visit.web.people, roles, visit.account.name, address_of(visit.request))


def _page(
    visit: Visit,
    *,
    why: str | None = None,
    made: str | None = None,
    password: str | None = None,
    status: int = 200,
) -> Response:
    accounts = visit.web.people.accounts()
    return visit.page("people.html", accounts=accounts, why=why, made=made, password=password, status=status)
