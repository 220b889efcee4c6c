"""What a reader says of a result: two clicks from the worklist to the next scan."""

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


async def _useful(request: Request) -> dict[str, bool]:
    """Which reasons the form marks, by feature; those left open are not in it."""
    form = await request.form()
    marked = {name.removeprefix(MARK): value for name, value in form.items() if name.startswith(MARK)}
    return {name: MARKS[value] for name, value in marked.items() if isinstance(value, str) and value in MARKS}


@router.post("/scan/{scan}/verdict")
def give(
    visit: Doctor,
    here: Here,
    one: Scan,
    useful: Annotated[dict[str, bool], Depends(_useful)],
    said: Annotated[Said | Literal["accept-next"], Form()],
    seen: Annotated[str, Form()],
    tier: Annotated[Tier | None, Form()] = None,
    note: Annotated[str, Form()] = "",
) -> Response:
    """Keep the verdict and the reader's own tier; after "accept-next" the reading ends, the next scan opens."""
    reader, row = visit.account.name, one.row
    opinion: Said = "accept" if said == "accept-next" else said
    known = {reason.feature for reason in one.priority.reasons} if one.priority else set()
    marks = {name: value for name, value in useful.items() if name in known}
    here.verdicts.give(
        one.case,
        reader,
        Opinion(opinion, tier, marks, note.strip()),
        source_digest=seen,
        calibration_digest=row.calibration_digest,
        outdated=one.outdated is not None,
    )
    if tier is not None and tier != row.ordered and row.state != READ:
        here.worklist.order(one.case, tier, by=reader)
    told = f"Your verdict is kept: {WORDS[opinion]}."
    if said != "accept-next":
        return visit.go(f"/scan/{one.scan}", said=told)
    following = one.next()
    if row.state != READ:
        here.worklist.finish(one.case, reader)
    if following is None:
        return visit.go("/worklist", said=f"{told} No other scan waits.")
    return visit.go(f"/scan/{following}", said=f"{told} This is the next scan.")
