"""The worklist: which scan is read next, by whom and why."""

import csv
import io
import json
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query
from starlette.responses import Response

from client.web.hospital import Here, QuietReader, Reader
from client.web.reading import LIST
from client.web.worklist_view import REASONS, STATES, Filter, Since, stamp_of, view_of
from client.worklist.export import as_json, csv_lines
from client.worklist.fhir import fhir_text
from client.worklist.look import brought_up_to_date, look
from client.worklist.order import TIERS
from shared.web.downloads import saved_as
from shared.web.paths import own_path

router = APIRouter(prefix="/worklist")

LONGEST_SEARCH = 200  # characters


@router.get("")
def worklist(visit: Reader, here: Here, chosen: Annotated[Filter, Query()]) -> Response:
    """Show the scans in reading order."""
    return visit.page("worklist.html", view=view_of(here, visit, chosen), tiers=TIERS, most=REASONS)


@router.get("/live")
def live(visit: QuietReader, here: Here, since: Annotated[Since, Query()]) -> Response:
    """Show the list again if it changed, and say what came; 204 if the stamp is still the same."""
    if stamp_of(here, visit, since)[0] == since.stamp:
        return Response(status_code=204)
    view = view_of(here, visit, since, after=since.seen)
    return visit.page("worklist_live.html", view=view, most=REASONS)


@router.post("/search")
def search(
    visit: Reader,
    here: Here,
    text: Annotated[str, Form(max_length=LONGEST_SEARCH)] = "",
    then: Annotated[str, Form(alias="next")] = LIST,
) -> Response:
    """Remember what this session looks for: a name must not stand in an address."""
    if text.strip():
        here.searches[visit.csrf] = text.strip()
    else:
        here.searches.pop(visit.csrf, None)
    return visit.go(own_path(then, LIST))


@router.get("/why")
def why(visit: Reader, here: Here) -> Response:
    """Say in plain words why the order is this one."""
    model, notes = brought_up_to_date(here.worklist, here.site)
    priority = None if model is None or model.priority is None else model.priority.at_site(here.site.name)
    return visit.page(
        "worklist_why.html",
        model=model,
        notes=notes,
        priority=priority,
        longest=here.worklist.longest,
        tiers=tuple(reversed(TIERS)),
    )


@router.get("/export/{kind}")
def export(
    visit: Reader,  # noqa: ARG001 - who may
    here: Here,
    kind: Literal["csv", "json", "fhir"],
    state: Literal["open", "waiting", "reading", "read"] = "open",
) -> Response:
    """Send the whole list as a file."""
    listed = look(here.worklist, here.site, states=STATES[state])
    if kind == "csv":
        file = io.StringIO(newline="")
        csv.writer(file, lineterminator="\n").writerows(csv_lines(listed.rows))
        return _file("csv", file.getvalue(), "text/csv; charset=utf-8")
    if kind == "json":
        return _file("json", json.dumps(as_json(listed), indent=1), "application/json")
    return _file("fhir.json", fhir_text(listed, here.site.work, "R4"), "application/fhir+json")


def _file(ending: str, text: str, media_type: str) -> Response:
    return Response(text, media_type=media_type, headers=saved_as(f"wardround-worklist.{ending}"))
