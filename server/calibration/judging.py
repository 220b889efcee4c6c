"""The calibrated score on the test patients: reliability, counts by bin, and each site's miscalibration."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from server.calibration.exchange import JUDGED_SPLIT, Exchange, SiteLeftError
from server.federation import Question
from shared.calibration import logistic_shapes
from shared.errors import FederationError
from shared.isotonic import count_shapes
from shared.miscalibration import FITS, Miscalibration, finish, large_and_slope
from shared.newton import lockstep
from shared.priority import CalibratedPriority
from shared.recalibration import COLUMNS
from shared.reliability import reliability_shapes
from shared.sums import FloatArray, Sums
from shared.wire import Record, Scalar

BEFORE, AFTER, COUNTS = "reliability before", "reliability", "test histograms"


@dataclass(frozen=True)
class Judged:
    """Sums by site: reliability before and after at the same sites, counts and miscalibration where given."""

    before: Mapping[str, Sums]
    after: Mapping[str, Sums]
    counts: Mapping[str, Sums]
    miscalibration: Mapping[str, Miscalibration]


def judge(exchange: Exchange, priority: CalibratedPriority, bins: int) -> Judged:
    """Judge on the test patients; raises FederationError when no site released reliability bins."""
    text = priority.recalibration.model_dump_json()
    questions = {
        site: [
            Question(BEFORE, _reliability(exchange, priority, site, None), "reliability_bins"),
            Question(AFTER, _reliability(exchange, priority, site, text), "reliability_bins"),
            Question(COUNTS, _histograms(exchange, priority, site, text), "score_histograms"),
        ]
        for site in exchange.sites
    }
    shapes = {
        BEFORE: reliability_shapes(bins),
        AFTER: reliability_shapes(bins),
        COUNTS: count_shapes(1),
    }
    found = exchange.gather(questions, shapes)
    both = sorted(found[BEFORE].keys() & found[AFTER].keys())  # only the same patients can be compared
    if not both:
        raise FederationError("no site released reliability bins; see the events for the reasons.")
    two_sorts = [site for site in both if _has_both(found[AFTER][site])]
    return Judged(
        before={site: found[BEFORE][site] for site in both},
        after={site: found[AFTER][site] for site in both},
        counts={
            site: Sums({name: rows[0] for name, rows in s.values.items()})
            for site, s in found[COUNTS].items()
        },
        miscalibration=_miscalibration(exchange, priority, two_sorts),
    )


def _has_both(sums: Sums) -> bool:
    urgent = int(sums["outcome_sum"].sum())
    return 0 < urgent < int(sums["patients"].sum())


def _miscalibration(
    exchange: Exchange, priority: CalibratedPriority, sites: Iterable[str]
) -> dict[str, Miscalibration]:
    """Fit intercept and slope at each site, all in the same exchanges; again without a site that leaves."""
    asked = list(sites)
    text = priority.recalibration.model_dump_json()

    def gather(coefficients: FloatArray) -> Sums:
        records = {
            site: Record(
                "newton_map",
                _fields(exchange, calibration=text),
                {
                    "scores": priority.coefficients_at(site)[None],
                    "coefficients": coefficients[FITS * k : FITS * (k + 1)],
                },
            )
            for k, site in enumerate(asked)
        }
        shapes = logistic_shapes(len(COLUMNS), FITS)
        sums = exchange.every("miscalibration", records, answer_kind="derivatives", shapes=shapes)
        return Sums({name: np.concatenate([sums[site][name] for site in asked]) for name in shapes})

    while asked:
        try:
            fits = lockstep([fit for _ in asked for fit in large_and_slope()], gather)
        except SiteLeftError as left:
            asked = [site for site in asked if site in left.present]
        else:
            return {site: finish(*fits[FITS * k : FITS * (k + 1)]) for k, site in enumerate(asked)}
    return {}


def _reliability(
    exchange: Exchange, priority: CalibratedPriority, site: str, calibration: str | None
) -> Record:
    fields: dict[str, Scalar] = {
        **_fields(exchange, calibration=calibration or ""),
        "calibrated": calibration is not None,
    }
    return Record("reliability", fields, {"coefficients": priority.coefficients_at(site)})


def _histograms(exchange: Exchange, priority: CalibratedPriority, site: str, calibration: str) -> Record:
    scores = priority.coefficients_at(site)[None]
    return Record("histograms", _fields(exchange, calibration=calibration), {"scores": scores})


def _fields(exchange: Exchange, *, calibration: str) -> dict[str, Scalar]:
    return {"study_digest": exchange.study_digest, "split": JUDGED_SPLIT, "calibration": calibration}
