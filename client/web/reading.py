"""Who reads what, told by a click: claim, release, done, reopen, a clinician's own tier.

Every page that shows a scan sends its forms here. `next` says which page comes then, and must be one of ours.
A page that stays as it is (`stay`, by htmx) is told what was done and finds the event `scan-changed`.
"""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Form
from starlette.responses import Response

from client.web.hospital import Here
from shared.priority import Tier
from shared.web.visit import Visit, needs

router = APIRouter(prefix="/scan/{scan}")

LIST = "/worklist"
_OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")  # printable, no backslash: browsers read it as a slash


def own_path(asked: str) -> str:
    """Return an address that was asked for if it is one of ours, else the worklist's."""
    return asked if _OWN_PATH.fullmatch(asked) else LIST


Radiologist = Annotated[Visit, Depends(needs("reader"))]


class Then:
    """Where the browser goes after a step."""

    def __init__(
        self, then: Annotated[str, Form(alias="next")] = LIST, stay: Annotated[bool, Form()] = False
    ) -> None:
        self._path = own_path(then)
        self._stay = stay

    def answer(self, visit: Visit, text: str) -> Response:
        """Say what was done, on the page that is open or on the next one."""
        if not (self._stay and visit.is_fragment):
            return visit.go(self._path, said=text)
        answer = visit.page("reading_said.html", text=text)
        answer.headers["HX-Trigger"] = "scan-changed"
        return answer


Next = Annotated[Then, Depends()]


@router.post("/claim")
def claim(scan: str, visit: Radiologist, here: Here, then: Next) -> Response:
    """Take a scan to read it; CaseError says who has it, where somebody was sooner."""
    case = here.case_of(scan)
    here.worklist.claim(case, visit.account.name)
    return then.answer(visit, f"You are reading {case}. Nobody else can take it now.")


@router.post("/release")
def release(
    scan: str, visit: Radiologist, here: Here, then: Next, *, force: Annotated[bool, Form()] = False
) -> Response:
    """Give a scan back to the list; `force` gives back another reader's."""
    case = here.case_of(scan)
    here.worklist.release(case, visit.account.name, force=force)
    return then.answer(visit, f"{case} waits again; its wait goes on from when it came.")


@router.post("/done")
def done(scan: str, visit: Radiologist, here: Here, then: Next) -> Response:
    """Note that a scan was read."""
    case = here.case_of(scan)
    here.worklist.finish(case, visit.account.name)
    return then.answer(visit, f"{case} was read.")


@router.post("/reopen")
def reopen(scan: str, visit: Radiologist, here: Here, then: Next) -> Response:
    """Put a scan that was read back on the list."""
    case = here.case_of(scan)
    here.worklist.reopen(case, visit.account.name)
    return then.answer(visit, f"{case} is back on the list; its wait begins anew.")


@router.post("/order")
def order(scan: str, visit: Radiologist, here: Here, then: Next, tier: Annotated[Tier, Form()]) -> Response:
    """Note a clinician's own tier."""
    case = here.case_of(scan)
    here.worklist.order(case, tier, by=visit.account.name)
    return then.answer(visit, f"{case} is ordered {tier}. No score lowers that.")
