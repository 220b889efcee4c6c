"""Who reads what, told by a click: claim, release, done, reopen, a clinician's own tier.

Every page that shows a scan sends its forms here. `next` says which page comes then, and must be one of ours.
A page that stays as it is (`stay`, by htmx) is told what was done and finds the event `scan-changed`.
"""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Form
from starlette.responses import Response

from client.web.hospital import Here
from shared.errors import CaseError
from shared.priority import Tier
from shared.web.paths import own_path
from shared.web.visit import Visit, needs

router = APIRouter(prefix="/scan/{scan}")

LIST = "/worklist"

Radiologist = Annotated[Visit, Depends(needs("reader"))]


class Then:
    """Where the browser goes after a step."""

    def __init__(
        self, then: Annotated[str, Form(alias="next")] = LIST, stay: Annotated[bool, Form()] = False
    ) -> None:
        self._path = own_path(then, LIST)
        self._stay = stay

    def take(self, visit: Visit, step: Callable[[], None], done: str) -> Response:
        """Take a step, and say so on the page that is open or on the next one.

        Raises
        ------
        CaseError
            The step cannot be taken, as when somebody was sooner, and a page is open that can be told. Where
            none is, the next page says why.
        """
        try:
            step()
        except CaseError as error:
            if visit.is_fragment:
                raise
            return visit.go(self._path, wrong=str(error))
        if not (self._stay and visit.is_fragment):
            return visit.go(self._path, said=done)
        answer = visit.page("reading_said.html", text=done)
        answer.headers["HX-Trigger"] = "scan-changed"
        return answer


Next = Annotated[Then, Depends()]


@router.post("/claim")
def claim(scan: str, visit: Radiologist, here: Here, then: Next) -> Response:
    """Take a scan to read it; says who has it, where somebody was sooner."""
    case, reader = here.case_of(scan), visit.account.name
    text = f"You are reading {case}. Nobody else can take it now."
    return then.take(visit, lambda: here.worklist.claim(case, reader), text)


@router.post("/release")
def release(
    scan: str, visit: Radiologist, here: Here, then: Next, *, force: Annotated[bool, Form()] = False
) -> Response:
    """Give a scan back to the list; `force` gives back another reader's."""
    case, reader = here.case_of(scan), visit.account.name
    text = f"{case} waits again; its wait goes on from when it came."
    return then.take(visit, lambda: here.worklist.release(case, reader, force=force), text)


@router.post("/done")
def done(scan: str, visit: Radiologist, here: Here, then: Next) -> Response:
    """Note that a scan was read."""
    case, reader = here.case_of(scan), visit.account.name
    return then.take(visit, lambda: here.worklist.finish(case, reader), f"{case} was read.")


@router.post("/reopen")
def reopen(scan: str, visit: Radiologist, here: Here, then: Next) -> Response:
    """Put a scan that was read back on the list."""
    case, reader = here.case_of(scan), visit.account.name
    text = f"{case} is back on the list; its wait begins anew."
    return then.take(visit, lambda: here.worklist.reopen(case, reader), text)


@router.post("/order")
def order(scan: str, visit: Radiologist, here: Here, then: Next, tier: Annotated[Tier, Form()]) -> Response:
    """Note a clinician's own tier."""
    case, reader = here.case_of(scan), visit.account.name
    text = f"{case} is ordered {tier}. No score lowers that."
    return then.take(visit, lambda: here.worklist.order(case, tier, by=reader), text)
