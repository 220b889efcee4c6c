"""Whether probabilities can be taken at their word, by finished run: as the run's report has it."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, HTTPException
from starlette.responses import Response

from server.priority_figures import Calibration, Detection
from server.results import Results
from server.store import FINISHED
from server.web.drawing import calibration_figures
from server.web.office import Here, Looker
from shared.conformal import OUT_OF_FOLD
from shared.study import Sensitivity

router = APIRouter()


@dataclass(frozen=True)
class Realised:
    """One tier at one site: the sensitivity that was aimed at, and what test patients showed."""

    site: str
    tier: str
    target: float | None  # None: bounds are fixed, nothing was aimed at
    found: Detection
    urgent: int  # test patients behind it

    @property
    def verdict(self) -> tuple[str, str]:
        """Class and words: whether the interval holds the target."""
        if self.target is None:
            return "", "no target"
        if self.found.sensitivity is None or self.found.sensitivity_interval is None:
            return "", "not known: counts not released, or nobody urgent"
        low, high = self.found.sensitivity_interval
        if low >= self.target:
            return "good", "above the target"
        return (
            ("bad", "below the target") if high < self.target else ("warn", "cannot tell: too few patients")
        )


@router.get("/calibration")
def calibrations(visit: Looker, here: Here) -> Response:
    """List finished runs with a reading order."""
    rows = []
    for row in reversed(here.store.runs((FINISHED,))):
        results = here.results(row.id)
        if results is not None and results.calibration is not None:
            rows.append((row, results.calibration))
    return visit.page("calibrations.html", rows=rows)


@router.get("/calibration/{run}")
def calibration(run: str, visit: Looker, here: Here) -> Response:
    """Show one run's."""
    results = here.results(here.run(run).id)
    if results is None or results.calibration is None:
        raise HTTPException(404)
    return visit.page(
        "calibration.html",
        run=run,
        c=results.calibration,
        figures=calibration_figures(here, run, results),
        out_of_fold=OUT_OF_FOLD,
        realised=realised(results.calibration, results),
    )


def realised(found: Calibration, results: Results) -> Sequence[Realised]:
    """Every tier at every site, the highest sensitivity first."""
    targets = _targets(results)
    return [
        Realised(name, tier, targets.get(tier), site.tiers[tier], _urgent(site.after))
        for tier in found.thresholds
        for name, site in found.sites.items()
        if tier in site.tiers
    ]


def _targets(results: Results) -> dict[str, float]:
    priority = results.study.get("priority") or {}
    if priority.get("tiers") is not None:
        return {}
    aims = Sensitivity.parse(priority.get("sensitivity", {}), "the run's study")
    return {"urgent": aims.urgent, "asap": aims.asap, "stat": aims.stat}


def _urgent(after: object) -> int:
    n, share = getattr(after, "n", 0), getattr(after, "prevalence", None)
    return round(n * (share or 0))
