"""What a reader says of a result: two clicks from the worklist to the next scan."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from client.verdicts import Opinion, Said
from client.web.hospital import Here
from client.web.scan_files import Scan
from client.worklist import READ
from shared.priority import Tier
from shared.web.visit import Visit, needs

router = APIRouter()
Doctor = Annotated[Visit, Depends(needs("reader"))]
MARK, MARKS = "useful:", {"yes": True, "no": False}
WORDS: dict[Said, str] = {"accept": "accepted", "modify": "to be changed", "reject": "rejected"}


@dataclass(frozen=True)
class Told:
    """What a form says; `seen` is the result that the reader had before the eyes."""

    opinion: Opinion
    seen: str
    then_next: bool


async def _told(
    request: Request,
    said: Annotated[Said | Literal["accept-next"], Form()],
    seen: Annotated[str, Form()],
    tier: Annotated[Tier | None, Form()] = None,
    note: Annotated[str, Form()] = "",
) -> Told:
    """Read the form; a reason that it leaves open is not in `Opinion.useful`."""
    marks = {
        name.removeprefix(MARK): MARKS[str(value)]
        for name, value in (await request.form()).items()
        if name.startswith(MARK) and value in MARKS
    }
    opinion = Opinion("accept" if said == "accept-next" else said, tier, marks, note.strip())
    return Told(opinion, seen, then_next=said == "accept-next")


@router.post("/scan/{scan}/verdict")
def give(visit: Doctor, here: Here, one: Scan, told: Annotated[Told, Depends(_told)]) -> Response:
    """Keep the verdict and the reader's own tier; "accept-next" ends the reading and opens the next scan."""
    reader, row = visit.account.name, one.row
    known = {reason.feature for reason in one.priority.reasons} if one.priority else set()
    useful = {name: value for name, value in told.opinion.useful.items() if name in known}
    opinion = replace(told.opinion, useful=useful)
    here.verdicts.give(
        one.case,
        reader,
        opinion,
        source_digest=told.seen,
        calibration_digest=row.calibration_digest,
        outdated=one.outdated is not None,
    )
    if opinion.tier is not None and opinion.tier != row.ordered and row.state != READ:
        here.worklist.order(one.case, opinion.tier, by=reader)
    kept = f"Your verdict is kept: {WORDS[opinion.said]}."
    if not told.then_next:
        return visit.go(f"/scan/{one.scan}", said=kept)
    following = one.next()
    if row.state != READ:
        here.worklist.finish(one.case, reader)
    if following is None:
        return visit.go("/worklist", said=f"{kept} No other scan waits.")
    return visit.go(f"/scan/{following}", said=f"{kept} This is the next scan.")
