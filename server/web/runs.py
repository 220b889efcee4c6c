"""All runs, one run, and how to stop it or go on with it."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from server.commands import start_again
from server.job import STATISTICS
from server.report import cards, verdict
from server.store import OPEN
from server.watching import stored
from server.web.asking import ask
from server.web.board import shown
from server.web.live import part, refreshed
from server.web.office import Here, Keeper, Looker, Office, QuietLooker
from server.web.words import run_state
from shared.errors import FederationError
from shared.web.visit import Visit
from shared.words import counted

router = APIRouter()


@router.get("/runs")
def runs(visit: Looker, here: Here) -> Response:
    """List all runs, the newest first."""
    return visit.page("runs.html", rows=list(reversed(here.store.runs())))


@router.get("/runs/{run}")
def one(run: str, visit: Looker, here: Here) -> Response:
    """Show one run."""
    row = here.run(run)
    results = here.results(run)
    return visit.page(
        "run.html",
        row=row,
        is_open=row.state in OPEN,
        now=part(visit, "run_now.html", **_values(here, run)),
        verdict=None if results is None else verdict(results),
        cards=[] if results is None else cards(results),
        results=results,
        left=[name for name in LEFT if (here.folder(run) / name).exists()],
        asks_only=(here.folder(run) / STATISTICS).exists(),
    )


@router.get("/runs/{run}/now")
def one_now(run: str, visit: QuietLooker, here: Here, seen: str = "") -> Response:
    """Show what changed since."""
    if here.run(run).state not in OPEN:
        return Response(status_code=204, headers={"HX-Refresh": "true"})  # the page has more to show now
    return refreshed(visit, seen, "run_now.html", **_values(here, run))


@router.get("/runs/{run}/stop")
def ask_stop(run: str, visit: Keeper, here: Here) -> Response:
    """Ask whether it is meant."""
    row = here.run(run)
    return ask(
        visit,
        f"Stop {row.id}?",
        "The sites are told at once, and what they are computing is lost. What was reached by the last "
        "finished round is kept: you can go on from there later.",
        button="Stop it",
        back=f"/runs/{run}",
    )


@router.post("/runs/{run}/stop")
def stop(run: str, visit: Keeper, here: Here) -> Response:
    """Stop a run."""
    try:
        state = here.store.stop(here.run(run).id)
    except FederationError:
        return _nothing_done(run, visit, here)
    here.forget()
    return visit.go(f"/runs/{run}", said=f"{run} is {state}.")


@router.get("/runs/{run}/resume")
def ask_resume(run: str, visit: Keeper, here: Here) -> Response:
    """Ask whether it is meant."""
    row = here.run(run)
    done = len(here.rounds(run))
    return ask(
        visit,
        f"Go on with {row.id}?",
        f"It goes on from its newest checkpoint, after {counted(done, 'finished round')}. The sites that "
        "are enrolled now are asked to take part.",
        button="Go on with it",
        back=f"/runs/{run}",
    )


@router.post("/runs/{run}/resume")
def resume(run: str, visit: Keeper, here: Here) -> Response:
    """Let a stopped or failed run go on."""
    try:
        asked = start_again(here.store, here.run(run).id)
    except FederationError:
        return _nothing_done(run, visit, here)
    here.forget()
    return visit.go(f"/runs/{run}", said=said_of(asked.run, asked.enrolled, asked.quorum))


LEFT = ("report.html", "statistics.html", "model", "statistics.json")
"""What a run that is over may have left in its folder."""


def said_of(run: str, enrolled: int, quorum: int) -> str:
    """Say that a run was asked for, and whether enough sites are there."""
    text = f"{run} was asked for. The coordinator that is up starts it."
    if enrolled < quorum:
        text += (
            f" Only {enrolled} of the {quorum} sites that its study needs are enrolled: it waits, and fails "
            "if no more come."
        )
    return text


def _nothing_done(run: str, visit: Visit, here: Office) -> Response:
    words = run_state(here.run(run).state)[1]
    return visit.go(f"/runs/{run}", said=f"Nothing was done: {run} is in another state meanwhile ({words}).")


def _values(office: Office, run: str) -> dict[str, Any]:
    status = stored(office.settings, office.store, run=run)
    return {"run": shown(office, status.runs[0], up=office.status()[1])}
