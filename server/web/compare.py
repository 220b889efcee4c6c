"""Compare two finished runs."""

from fastapi import APIRouter
from starlette.responses import Response

from server.store import FINISHED
from server.web import comparing
from server.web.drawing import pooled_curves
from server.web.office import Here, Looker

router = APIRouter()


@router.get("/compare")
def compare(visit: Looker, here: Here, first: str = "", second: str = "") -> Response:
    """Choose two runs, and show them side by side."""
    finished = [row.id for row in reversed(here.store.runs((FINISHED,)))]
    chosen = {run: here.results(run) for run in dict.fromkeys((first, second)) if run in finished}
    one, two = chosen.get(first), chosen.get(second)
    if one is None or two is None or first == second:
        why = None
        if first and second:
            why = "Choose two different runs." if first == second else "Of one of them there are no results."
        return visit.page("compare.html", runs=finished, first=first, second=second, why=why, found=None)
    return visit.page(
        "compare.html",
        runs=finished,
        first=first,
        second=second,
        why=None,
        found={
            "same_study": one.study_digest == two.study_digest,
            "differences": comparing.differences(one.study, two.study),
            "hindrances": comparing.hindrances(one, two),
            "rows": comparing.rows(one, two),
            "curves": pooled_curves(here, {first: one.rounds, second: two.rounds}),
            "seeds": (one.seed, two.seed),
        },
    )
