"""Studies: those that are being written, and those that had runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fastapi import APIRouter
from starlette.responses import Response

from server.store import RunRow
from server.web.drafts import Drafts, check
from server.web.office import Here, Looker

router = APIRouter()


@dataclass(frozen=True)
class Known:
    """One study with its runs, the newest first."""

    name: str
    digest: str
    runs: list[RunRow] = field(default_factory=list)


@router.get("/studies")
def studies(visit: Looker, here: Here) -> Response:
    """List drafts, and studies by their digest."""
    drafts = Drafts(here.settings)
    listed = [(name, len(check(drafts.read(name) or "").faults)) for name in drafts.names()]
    return visit.page("studies.html", drafts=listed, known=known(here.store.runs()))


def known(runs: Sequence[RunRow]) -> list[Known]:
    """Gather runs by study, the study with the newest run first."""
    found: dict[str, Known] = {}
    for run in reversed(runs):
        found.setdefault(run.study_digest, Known(run.study_name, run.study_digest)).runs.append(run)
    return list(found.values())
