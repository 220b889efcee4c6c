"""Data sets: what is there, how it is split, what is skipped and why; others are added, one is used."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi import Path as InPath
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from client.data.cures import cure
from client.data.inspection.facts import Fault
from client.data.inspection.text import overview, ranged, told, verdict
from client.data.layouts import LAYOUTS
from client.datasets.receiving import received
from client.datasets.registry import FOLDER, Asked, DataSet
from client.datasets.splits import SPLITS, known_studies, splitting
from client.datasets.summary import Summary
from client.site_edit import BEFORE, change_site
from client.uploads.room import TooLargeError
from client.web.desk import AtDesk, Desk
from client.web.hospital import Engineer
from client.web.library import InLibrary, Library, sandboxed
from client.web.officer_zip import csv_lines
from shared.errors import WardroundError
from shared.web.bodies import length_of, pour
from shared.web.downloads import saved_as
from shared.web.visit import Visit, needs

router = APIRouter()
SHOWN = 20  # cases of one reason; all are in the CSV
FAULT_COLUMNS = ("case", "reason", "what was found", "what to do")

SetId = Annotated[str, InPath(pattern="^(site|[0-9a-f]{12})$")]
QuietEngineer = Annotated[Visit, Depends(needs("engineer", quiet=True))]


@dataclass
class Reason:
    """Cases with one reason: all are counted, the first are shown."""

    reason: str
    cure: str
    count: int = 0
    texts: list[str] = field(default_factory=list)


class Typed(BaseModel):
    """A folder to be listed."""

    name: str = ""
    folder: str = ""
    layout: str = ""
    patients: str = ""


@router.get("/data")
def data(visit: Engineer, library: InLibrary, desk: AtDesk) -> Response:
    """Show the data set that studies use, and the others."""
    return _data(visit, library, desk)


@router.get("/data/sets/{dataset}")
def one_set(dataset: SetId, visit: Engineer, library: InLibrary, desk: AtDesk) -> Response:
    """Show one data set."""
    return visit.page("data_set.html", **_seen(_found(library, dataset), library, desk))


@router.get("/data/sets/{dataset}/progress")
def progress(dataset: SetId, visit: QuietEngineer, library: InLibrary) -> Response:
    """Show how far an inspection is; a part of the page, which is loaded again once it is over."""
    found = _found(library, dataset)
    under_way = library.looks.progress(dataset)
    answer = visit.page("data_progress.html", dataset=found, progress=under_way)
    if under_way is None:
        answer.headers["HX-Redirect"] = _path(found)
    return answer


@router.get("/data/sets/{dataset}/pictures")
def pictures(dataset: SetId, visit: Engineer, library: InLibrary) -> Response:  # noqa: ARG001 - only those may
    """Show the page of the last inspection, with a picture of each case."""
    path = library.looks.page(_found(library, dataset).id)
    if path is None:
        raise HTTPException(404)
    return sandboxed(path)


@router.get("/data/sets/{dataset}/cases.csv")
def faults_csv(dataset: SetId, visit: Engineer, library: InLibrary) -> Response:  # noqa: ARG001
    """Give every case that cannot be used or should be looked at."""
    summary = library.looks.summary(_found(library, dataset).id)
    rows: list[tuple[str, str, str, str]] = []
    if summary is not None:
        faults = (*summary.found.faults, *summary.found.warnings)
        rows += [(one.case, one.reason, one.detail, one.cure) for one in faults]
        rows += [(*one, cure(one[1])) for one in (summary.imported.left_out if summary.imported else ())]
    headers = saved_as("cases-to-look-at.csv")
    return StreamingResponse(csv_lines(rows, FAULT_COLUMNS), media_type="text/csv", headers=headers)


@router.post("/data/sets/{dataset}/look")
def look(dataset: SetId, visit: Engineer, library: InLibrary) -> Response:
    """Begin to look at a data set."""
    found = _found(library, dataset)
    library.looks.begin(found)
    return visit.go(_path(found))


@router.post("/data/register")
def register(visit: Engineer, library: InLibrary, desk: AtDesk, typed: Annotated[Typed, Form()]) -> Response:
    """List a folder of this machine, and begin to look at it."""
    try:
        asked = Asked.parse(
            {
                "name": typed.name.strip(),
                "folder": typed.folder,
                "layout": typed.layout or None,
                "patients": typed.patients.strip() or None,
            },
            "the form",
        )
        added = library.registry.add_folder(asked, visit.account.name)
    except WardroundError as error:
        return _data(visit, library, desk, why=str(error), typed=typed, status=422)
    library.looks.begin(added)
    return visit.go(_path(added), said=f"{added.name} is listed. It is being looked at.")


@router.post("/data/upload")
async def upload(request: Request, visit: Engineer, library: InLibrary) -> Response:
    """Take a zip in, straight to disk, and begin to import it; async because it comes in pieces.

    Headers: X-Name (the data set's, percent-encoded), Content-Length. Answers with where to go.
    """
    name = unquote(request.headers.get("x-name", ""))
    if (size := length_of(request)) is None:
        return PlainTextResponse("Say how long the file is.", status_code=411)
    try:
        await run_in_threadpool(library.registry.check_name, name)
        incoming = library.hospital.site.make_work() / FOLDER / "incoming"
        with received(incoming, size, library.hospital.room) as (path, stream):
            await pour(request, stream)
        added = await run_in_threadpool(_listed, library, name, path, visit.account.name)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody listens; what had come is gone
    except WardroundError as error:
        return PlainTextResponse(str(error), status_code=413 if isinstance(error, TooLargeError) else 409)
    except OSError as error:
        return PlainTextResponse(f"The file cannot be written: {error.strerror}.", status_code=409)
    library.looks.begin(added)
    return PlainTextResponse(_path(added), status_code=201)


@router.get("/data/sets/{dataset}/use")
def ask_use(dataset: SetId, visit: Engineer, library: InLibrary) -> Response:
    """Ask once more, with what would change."""
    found = _found(library, dataset)
    return visit.page(
        "data_use.html",
        dataset=found,
        own=library.registry.own(),
        values=_values(found, library.looks.summary(dataset)),
        summary=library.looks.summary(dataset),
        site_file=library.hospital.site_file.name,
        before=BEFORE,
    )


@router.post("/data/sets/{dataset}/use")
def use(dataset: SetId, visit: Engineer, library: InLibrary) -> Response:
    """Write a data set into site.yaml."""
    found = _found(library, dataset)
    site_file = library.hospital.site_file
    change_site(site_file, _values(found, library.looks.summary(dataset)))
    text = (
        f"{site_file.name} now names {found.name}; the one before is kept as {site_file.name}{BEFORE}. "
        "A node that runs goes on with what it has: start it and these pages again."
    )
    return visit.go("/data", said=text)


@router.post("/data/sets/{dataset}/hide")
def hide(dataset: SetId, visit: Engineer, library: InLibrary) -> Response:
    """Take a data set off the list; its files stay."""
    found = _found(library, dataset)
    if found.is_own:
        raise HTTPException(404)
    library.registry.hide(found)
    return visit.go("/data", said=f"{found.name} is off the list. Its files stay in {found.folder}.")


def _listed(library: Library, name: str, archive: Path, by: str) -> DataSet:
    """List a zip that came in; it is not kept where that fails."""
    try:
        return library.registry.add_archive(name, archive, by)
    except BaseException:
        archive.unlink(missing_ok=True)
        raise


def _found(library: Library, dataset: str) -> DataSet:
    found = library.registry.find(dataset)
    if found is None:
        raise HTTPException(404)
    return found


def _path(dataset: DataSet) -> str:
    return "/data" if dataset.is_own else f"/data/sets/{dataset.id}"


def _data(
    visit: Visit,
    library: Library,
    desk: Desk,
    *,
    why: str | None = None,
    typed: Typed | None = None,
    status: int = 200,
) -> Response:
    own = library.registry.own()
    return visit.page(
        "data.html",
        status=status,
        why=why,
        typed=typed or Typed(),
        layouts=[layout.name for layout in LAYOUTS],
        most_gb=library.hospital.site.uploads.data_set_gb,
        others=[
            (one, library.looks.summary(one.id), *_state(library, one)) for one in library.registry.others()
        ],
        skipped=_reasons(_skipped(desk.site.work / "cache" / "skipped.csv")),
        running_with=None if desk.site.data.absolute() == own.folder else desk.site.data,
        **_seen(own, library, desk),
    )


def _state(library: Library, dataset: DataSet) -> tuple[str, str]:
    """Word and mark of where an inspection stands."""
    if library.looks.progress(dataset.id) is not None:
        return "is being looked at", "waiting"
    if library.looks.failed(dataset.id) is not None:
        return "could not be looked at", "bad"
    summary = library.looks.summary(dataset.id)
    if summary is None:
        return "not looked at", "warn"
    return ("ready", "good") if summary.found.usable else ("nothing usable", "bad")


def _seen(dataset: DataSet, library: Library, desk: Desk) -> dict[str, Any]:
    """Return what the page of one data set shows."""
    summary = library.looks.summary(dataset.id)
    if summary is not None and not summary.is_of(dataset):
        summary = None  # site.yaml names another folder, layout or table since
    cache_folder = desk.site.work / "cache" if dataset.is_own else None
    studies = known_studies(
        desk.site.work / "studies", (waiting.study for waiting in desk.approvals.pending())
    )
    splits = [splitting(study, summary, cache_folder) for study in studies]
    return {
        "dataset": dataset,
        "summary": summary,
        "verdict": None if summary is None else verdict(summary.found),
        "overview": [] if summary is None else overview(summary.found),
        "ranged": ranged,
        "cannot": [] if summary is None else _reasons(map(_row, summary.found.faults)),
        "strange": [] if summary is None else _reasons(map(_row, summary.found.warnings)),
        "left_out": []
        if summary is None or summary.imported is None
        else _reasons(summary.imported.left_out),
        "progress": library.looks.progress(dataset.id),
        "failed": library.looks.failed(dataset.id),
        "has_pictures": summary is not None and library.looks.page(dataset.id) is not None,
        "splits": [one for one in splits if one is not None],
        "studies": len(studies),
        "parts": SPLITS,
        "known": lambda digest: desk.study(digest) is not None,
        "site_file": library.hospital.site_file.name,
        "shown": SHOWN,
    }


def _row(fault: Fault) -> tuple[str, str, str]:
    return fault.case, fault.reason, told(fault)


def _reasons(rows: Iterable[tuple[str, str, str]]) -> list[Reason]:
    """Group (case, reason, text) by reason, the most frequent first."""
    found: dict[str, Reason] = {}
    for case, reason, text in rows:
        one = found.setdefault(reason, Reason(reason, cure(reason)))
        one.count += 1
        if len(one.texts) < SHOWN:
            one.texts.append(text if text.startswith(f"{case}:") else f"{case}: {text}")
    return sorted(found.values(), key=lambda one: (-one.count, one.reason))


def _skipped(path: Path) -> Iterator[tuple[str, str, str]]:
    """Read what the last run could not use."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield row["case"], row["reason"], row["detail"]


def _values(dataset: DataSet, summary: Summary | None) -> dict[str, str | None]:
    """Return the keys of site.yaml that make a data set the site's own; 409 before it was looked at."""
    if dataset.is_own or summary is None or not summary.is_of(dataset):
        raise HTTPException(409, "Look at the data set first; then it can be used for studies.")
    table = dataset.table
    return {
        "data": str(dataset.folder),
        "layout": summary.found.layout,
        "patients": None if table is None else str(table),
    }
