"""The board: who is there, what is under way, who is awaited, how long it will take."""

import time
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from markupsafe import Markup
from starlette.responses import Response

from server.authority import days_left
from server.results import Round
from server.store import OPEN
from server.web.drawing import curves
from server.web.left import Left, time_left
from server.web.live import part, refreshed
from server.web.office import Here, Looker, Office, QuietLooker
from shared.control import control_pb2 as pb

router = APIRouter()


@dataclass(frozen=True)
class Shown:
    """One run as its card shows it."""

    now: pb.RunStatus
    left: Left | None
    curves: Markup | None
    judged: Round | None  # the last round whose model was judged
    rounds: int  # that are over
    up: bool  # whether a coordinator is up, without which nothing goes on

    @property
    def bytes_up(self) -> int:
        """Received from all sites."""
        return sum(site.bytes_up for site in self.now.sites)

    @property
    def bytes_down(self) -> int:
        """Sent to all sites."""
        return sum(site.bytes_down for site in self.now.sites)


@router.get("/board")
def board(visit: Looker, here: Here) -> Response:
    """Show the board."""
    return visit.page("board.html", now=part(visit, "board_now.html", **_values(here)))


@router.get("/board/now")
def board_now(visit: QuietLooker, here: Here, seen: str = "") -> Response:
    """Show what changed since."""
    return refreshed(visit, seen, "board_now.html", **_values(here))


def shown(office: Office, now: pb.RunStatus, *, up: bool) -> Shown:
    """Put together what is known of a run."""
    rounds = office.rounds(now.id)
    running = up and now.state == "running" and now.phase == "training"
    ended = office.round_ended(now.id)
    left = time_left(rounds, of=now.rounds, now=time.time(), ended=ended) if running else None
    judged = next((r for r in reversed(rounds) if r.validation is not None), None)
    return Shown(now, left, curves(office, now.id), judged, len(rounds), up)


def _values(office: Office) -> dict[str, Any]:
    status, up = office.status()
    return {
        "up": up,
        "sites": [site for site in status.sites if not site.revoked],
        "revoked": sum(site.revoked > 0 for site in status.sites),
        "runs": [shown(office, run, up=up) for run in status.runs if run.state in OPEN],
        "certificate_days": days_left(office.settings.server_pem),
        "online": sum(site.online for site in status.sites),
    }
