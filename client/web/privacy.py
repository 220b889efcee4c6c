"""Privacy: what left, what was spent, and who looked at what."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, get_args

from fastapi import APIRouter, Form, Query
from starlette.responses import Response, StreamingResponse

from client.audit import Event, Verified
from client.audit_pages import Numbered, end_of, lines_of, page_of
from client.audit_totals import Totals
from client.audit_words import words
from client.explain_words import PLAIN
from client.policy import CONTROL
from client.policy_words import policy_words
from client.repeats import Repeats
from client.spending import Spent, spent
from client.web.desk import AtDesk, Desk
from client.web.filters import OfLog, OfViews
from client.web.hospital import Officer
from client.web.officer_zip import archive, csv_lines, sent
from shared.errors import PolicyError
from shared.web.downloads import saved_as
from shared.web.visit import Visit
from shared.wire import RECORDS

router = APIRouter()
A_PAGE = 50
KINDS = tuple(kind for kind, spec in RECORDS.items() if spec.leaves_site) + tuple(sorted(CONTROL))
LOG_COLUMNS = ("line", "time", "event", "what", "kind", "code", "study", "run", "round", "patients", "bytes")
DID = {
    "GET": "looked",
    "POST": "changed or asked",
    "LOGIN": "logged in",
    "REFUSED": "was not let in",
    "LOGOUT": "logged out",
    "EXPIRED": "session over",
}
WHAT = {kind: what for kind, (what, _) in PLAIN.items()} | {
    "membership": "who this site is, when it enrolled",
    "greeting": "that the node is there: version, clock, end of the audit log",
}
"""Each kind in words."""


@dataclass(frozen=True)
class Account:
    """What one study's run has cost; `promised` is what the study holds to, where its text is here."""

    spent: Spent
    name: str
    promised: float | None


@router.get("/privacy")
def privacy(visit: Officer, desk: AtDesk) -> Response:
    """Show what left in all, what was spent, and the policy."""
    return _page(visit, desk)


@router.post("/privacy/verify")
def verify(visit: Officer, desk: AtDesk, witness: Annotated[str, Form()] = "") -> Response:
    """Check the whole chain of the log, and what the coordinator was told earlier."""
    told = None
    if witness.strip():
        lines, _, seal = witness.strip().partition(":")
        if not lines.isdecimal() or len(seal) != 64:
            return _page(
                visit, desk, broken="Write what the coordinator has as LINES:SEAL, 120:9f86… for one."
            )
        told = (int(lines), seal)
    try:
        return _page(visit, desk, verified=desk.audit.inspect(told), compared=told is not None)
    except PolicyError as error:
        return _page(visit, desk, broken=str(error))


@router.get("/privacy/log")
def log(visit: Officer, desk: AtDesk, chosen: Annotated[OfLog, Query()]) -> Response:
    """Show the audit log, the newest line first, a page at a time."""
    return visit.page(
        "privacy_log.html",
        page=page_of(desk.audit.path, chosen.filter(), before=chosen.place, most=A_PAGE),
        chosen=chosen,
        words=words,
        events=get_args(Event),
        kinds=KINDS,
        studies=desk.log.totals().studies,
        enrolled_with=desk.elsewhere.told().enrolled_with,
        count=end_of(desk.audit.path).lines,
        outstanding=Repeats(desk.audit).outstanding(),
    )


@router.get("/privacy/log.csv")
def log_csv(_visit: Officer, desk: AtDesk, chosen: Annotated[OfLog, Query()]) -> Response:
    """Give the chosen lines as CSV, the oldest first."""
    rows = (_cells(line) for line in lines_of(desk.audit.path, chosen.filter()))
    return _download(csv_lines(rows, LOG_COLUMNS), "audit.csv", "text/csv")


@router.get("/privacy/log.jsonl")
def log_jsonl(_visit: Officer, desk: AtDesk, chosen: Annotated[OfLog, Query()]) -> Response:
    """Give the chosen lines as JSON, one a line, with their numbers."""
    found = lines_of(desk.audit.path, chosen.filter())
    lines = (json.dumps({"line": one.number, **one.entry}).encode() + b"\n" for one in found)
    return _download(lines, "audit.jsonl", "application/x-ndjson")


@router.get("/privacy/views")
def views(visit: Officer) -> Response:
    """Show who looked at what."""
    return _views(visit, OfViews())


@router.post("/privacy/views")
def search_views(visit: Officer, chosen: Annotated[OfViews, Form()]) -> Response:
    """Show the looks of one account, or of some days."""
    return _views(visit, chosen)


@router.get("/privacy/views.csv")
def views_csv(visit: Officer) -> Response:
    """Give all views."""
    return _download((text.encode() for text in visit.web.people.views_csv()), "views.csv", "text/csv")


@router.get("/privacy/officer.zip")
def officer_zip(visit: Officer, desk: AtDesk) -> Response:
    """Give everything in one archive."""
    return _download(sent(archive(desk.site, visit.web.people)), "privacy.zip", "application/zip")


def _page(
    visit: Visit,
    desk: Desk,
    *,
    verified: Verified | None = None,
    compared: bool = False,
    broken: str | None = None,
) -> Response:
    totals = desk.log.totals()
    accounts, ledger_error = _accounts(desk, totals)
    return visit.page(
        "privacy.html",
        left=sorted(totals.left.values(), key=lambda one: -one.bytes),
        what=WHAT,
        refused=totals.refused,
        count=totals.lines,
        accounts=accounts,
        ledger_error=ledger_error,
        spent=sum(one.spent.epsilon for one in accounts),
        budget=desk.site.policy.budget,
        updates=sorted(totals.updates.items()),
        studies=totals.studies,
        policy=policy_words(desk.site.policy),
        told=desk.elsewhere.told(),
        last_greeted=totals.last_greeted,
        verified=verified,
        compared=compared,
        broken=broken,
        known=lambda digest: desk.study(digest) is not None,
        views=visit.web.people.count_views(),
        site_file=desk.hospital.site_file.name,
    )


def _accounts(desk: Desk, totals: Totals) -> tuple[list[Account], str | None]:
    """Read the ledger; the page opens though it be damaged, and says so."""
    try:
        found = spent(desk.site.work / "ledger.jsonl")
    except PolicyError as error:
        return [], str(error)
    accounts = []
    for one in found:
        study = desk.study(one.study)
        promised = None if study is None or study.privacy is None else study.privacy.epsilon
        accounts.append(Account(one, totals.studies.get(one.study, one.study[:12]), promised))
    return accounts, None


def _views(visit: Visit, chosen: OfViews) -> Response:
    people = visit.web.people
    found = people.views(
        most=A_PAGE + 1,
        account=chosen.account or None,
        before=chosen.before,
        since=chosen.start,
        until=chosen.end,
    )
    shown = found[:A_PAGE]
    return visit.page(
        "privacy_views.html",
        views=shown,
        older=shown[-1].number if len(found) > A_PAGE else None,
        chosen=chosen,
        accounts=[account.name for account in people.accounts()],
        count=people.count_views(),
        did=DID,
    )


def _cells(line: Numbered) -> tuple[object, ...]:
    entry = line.entry
    first = (line.number, entry["time"], entry["event"], words(entry))
    return (*first, *(entry.get(column, "") for column in LOG_COLUMNS[len(first) :]))


def _download(pieces: Iterator[bytes], name: str, media: str) -> Response:
    """Stream a file; its name says what it is and when, and nobody."""
    name = f"wardround-{datetime.now(UTC):%Y-%m-%d}-{name}"
    return StreamingResponse(pieces, media_type=media, headers=saved_as(name))
