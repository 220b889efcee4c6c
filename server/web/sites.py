"""Sites and their invites: make, withdraw, revoke."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Form
from starlette.responses import Response

from server.authority import days_left
from server.commands import invite_one
from server.store import InviteRow
from server.web.asking import ask
from server.web.office import Here, Keeper, Office
from shared.errors import ConfigError
from shared.invite import Invite
from shared.web.visit import Visit

router = APIRouter()

Text = Annotated[str, Form()]


@dataclass(frozen=True)
class Listed:
    """One invite; its code is not known any more."""

    site: str
    expires: datetime
    state: str
    mark: str
    when: datetime | None
    replaces: bool


@router.get("/sites")
def sites(visit: Keeper, here: Here) -> Response:
    """List sites and invites."""
    return _page(visit, here)


@router.post("/sites/invite")
def invite(visit: Keeper, here: Here, site: Text, replace: Annotated[bool, Form()] = False) -> Response:
    """Make an invite and show it, this once."""
    try:
        made = invite_one(here.settings, here.store, site.strip(), replace=replace)
    except ConfigError as error:
        enrolled = not replace and here.store.site(site.strip()) is not None
        again = f"{site.strip()} is enrolled. Tick “gets a new key” to let it enrol again."
        why = again if enrolled else str(error)
        return _page(visit, here, wrong=why, status=422)
    return _page(visit, here, made=made)


@router.get("/sites/{site}/withdraw")
def ask_withdraw(site: str, visit: Keeper) -> Response:
    """Ask whether it is meant."""
    return ask(
        visit,
        f"Withdraw the invite of {site}?",
        "Whoever holds it cannot enrol with it any more. You can make another one.",
        button="Withdraw it",
        back="/sites",
    )


@router.post("/sites/{site}/withdraw")
def withdraw(site: str, visit: Keeper, here: Here) -> Response:
    """Make an open invite worthless."""
    here.store.withdraw(site)
    return visit.go("/sites", said=f"The invite of {site} is withdrawn.")


@router.get("/sites/{site}/revoke")
def ask_revoke(site: str, visit: Keeper) -> Response:
    """Ask whether it is meant."""
    return ask(
        visit,
        f"Revoke {site}?",
        f"{site} is not heard any more, from now on; what it contributed to models stays in them. A new "
        "invite would let it enrol again.",
        button="Revoke it",
        back="/sites",
    )


@router.post("/sites/{site}/revoke")
def revoke(site: str, visit: Keeper, here: Here) -> Response:
    """End a site's membership."""
    here.store.revoke(site)
    here.forget()
    return visit.go("/sites", said=f"{site} is revoked.")


def listed(invites: Sequence[InviteRow], now: datetime) -> list[Listed]:
    """Say what became of each invite, those that are open first, then the newest."""
    found = [_listed(invite, now) for invite in invites]
    return sorted(found, key=lambda each: (each.state != "open", -each.expires.timestamp()))


def _listed(invite: InviteRow, now: datetime) -> Listed:
    state, mark, when = "open", "waiting", None
    if invite.used_at is not None:
        state, mark, when = "used", "good", invite.used_at
    elif invite.withdrawn_at is not None:
        state, mark, when = "withdrawn", "warn", invite.withdrawn_at
    elif invite.expires_at <= now:
        state, mark, when = "expired", "warn", invite.expires_at
    return Listed(invite.site, invite.expires_at, state, mark, when, invite.replaces)


def _page(
    visit: Visit, here: Office, *, made: Invite | None = None, wrong: str | None = None, status: int = 200
) -> Response:
    return visit.page(
        "sites.html",
        status=status,
        made=made,
        line=None if made is None else str(made),
        wrong=wrong,
        sites=here.store.sites(),
        invites=listed(here.store.invites(), datetime.now(UTC)),
        settings=here.settings,
        certificate_days=days_left(here.settings.server_pem),
        authority_days=days_left(here.settings.ca_pem),
    )
