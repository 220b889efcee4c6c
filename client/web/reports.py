"""Reports of runs and of seismometer, and what the order saves at this site."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, HTTPException
from fastapi import Path as InPath
from pydantic import BaseModel, ValidationError
from starlette.responses import FileResponse, Response

from client.shelf import Report, failure_of, reports_of
from client.web.desk import AtDesk, Desk
from client.web.hospital import Here, Hospital, Reader
from client.web.library import InLibrary, Library, sandboxed
from client.web.waits import Typed
from client.worklist.drifting import drift_seen
from client.worklist.model_in_use import ModelInUse
from shared.config import faults_of
from shared.errors import ConfigError
from shared.web.visit import Visit, needs

router = APIRouter()
Looker = Annotated[Visit, Depends(needs("reader", "engineer", "officer"))]
QuietLooker = Annotated[Visit, Depends(needs("reader", "engineer", "officer", quiet=True))]
ReportId = Annotated[str, InPath(pattern="^[0-9a-f]{16}$")]
MEDIA = {".html": "text/html; charset=utf-8", ".png": "image/png", ".csv": "text/csv; charset=utf-8"}
GROUPS = {"diseased": "urgent", "others": "other", "missed": "missed"}
OF_CASES = ("reader", "engineer")
"""Who may have a table with the names of cases."""


class Given(BaseModel):
    """What a person typed, as text: an empty field is left to the site's records."""

    readers: str = ""
    read_minutes: str = ""
    hours: str = ""
    prevalence: str = ""
    sensitivity: str = ""
    specificity: str = ""


@router.get("/reports")
def reports(visit: Looker, here: Here, desk: AtDesk, library: InLibrary) -> Response:
    """Show what there is."""
    return _page(visit, here, desk, library)


@router.get("/reports/waiting")
def waiting(visit: QuietLooker, library: InLibrary) -> Response:
    """Show that the waiting times are being worked out; the page is loaded again once they are."""
    answer = visit.page("reports_running.html")
    if not library.waits.running:
        answer.headers["HX-Redirect"] = "/reports"
    return answer


@router.post("/reports/waiting")
def work_out(
    visit: Reader,
    here: Here,
    desk: AtDesk,
    library: InLibrary,
    given: Annotated[Given, Form()],
) -> Response:
    """Begin to work out the waiting times."""
    values = given.model_dump()
    try:
        typed = Typed.model_validate(values)
    except ValidationError as error:
        why = "; ".join(faults_of(error))
        return _page(visit, here, desk, library, why=why, typed=values, status=422)
    library.waits.begin(typed)
    return visit.go("/reports#waiting")


@router.get("/reports/{report}")
def one_report(report: ReportId, visit: Looker, here: Here) -> Response:
    """Show a report in a tab of its own, or a picture."""
    found = _report(report, visit, here)
    return sandboxed(found.path) if found.is_page else FileResponse(found.path, media_type=_media(found))


@router.get("/reports/{report}/file")
def one_file(report: ReportId, visit: Looker, here: Here) -> Response:
    """Give a report as a file."""
    found = _report(report, visit, here)
    name = f"wardround-{here.site.name}-{found.kind}-{found.when:%Y-%m-%d}{found.path.suffix}"
    return FileResponse(found.path, media_type=_media(found), filename=name)


def _page(
    visit: Visit,
    here: Hospital,
    desk: Desk,
    library: Library,
    *,
    why: str | None = None,
    typed: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    found = [one for one in reports_of(here.site) if _may(visit, one)]
    last = library.waits.last()
    runs = sorted(desk.log.totals().runs.values(), key=lambda run: run.agreed)
    return visit.page(
        "reports.html",
        status=status,
        by_kind={
            kind: [one for one in found if one.kind == kind]
            for kind in ("validation", "run", "picture", "table")
        },
        of_run=lambda report: next((run for run in reversed(runs) if run.agreed <= report.when), None),
        failure=failure_of(here.site),
        seismometer=here.site.seismometer,
        site_file=here.site_file.name,
        drift=_drift(here),
        last=last,
        typed=Given().model_dump() | dict(typed or ({} if last is None else last.typed)),
        why=why,
        running=library.waits.running,
        groups=GROUPS,
        may_ask=visit.has("reader", "engineer"),
    )


def _may(visit: Visit, report: Report) -> bool:
    return report.kind != "table" or visit.has(*OF_CASES)


def _report(report: str, visit: Visit, here: Hospital) -> Report:
    """Find a report in the listing; 404 for any other name."""
    found = next((one for one in reports_of(here.site) if one.id == report), None)
    if found is None or not _may(visit, found):
        raise HTTPException(404)
    return found


def _media(report: Report) -> str:
    return MEDIA[report.path.suffix]


def _drift(here: Hospital) -> dict[str, Any] | None:
    try:
        return drift_seen(here.worklist, ModelInUse.read(here.site.work / "model"))
    except ConfigError as error:  # the model's folder is damaged, which need not hide the reports
        return {"state": "damaged", "text": str(error)}
