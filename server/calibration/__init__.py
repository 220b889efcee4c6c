"""The priority score, fitted, calibrated and judged over all sites by exchanging sums only.

Phases: the score is fitted without each fold of patients and on everybody; calibration maps are fitted on
scores out of fold and one is chosen; the tiers' bounds follow from counts of the chosen scores; all of it is
judged on the test patients.
"""

from dataclasses import dataclass

from server.calibration.exchange import Exchange, SiteLeftError
from server.calibration.figures import Found, figures
from server.calibration.judging import judge
from server.calibration.maps import choose_map, histograms
from server.calibration.score import fit_score
from server.calibration.tiers import bounds
from server.federation import Federation
from server.priority_figures import Calibration
from shared.errors import FederationError
from shared.priority import CalibratedPriority
from shared.study import Priority

__all__ = ["Calibrated", "calibrate"]


@dataclass(frozen=True)
class Calibrated:
    """The fitted score, and the figures for results.json."""

    priority: CalibratedPriority
    figures: Calibration


def calibrate(federation: Federation, priority: Priority) -> Calibrated:
    """Fit and calibrate on the validation patients, judge before and after on the test patients.

    A site that cannot or may not answer while something is fitted is left out and noted; all starts again
    without it, since Newton's steps must all see the same patients. Raises FederationError when no site is
    left.
    """
    sites = set(federation.sites)
    while sites:
        try:
            return _attempt(Exchange(federation, sites), priority)
        except SiteLeftError as left:
            sites &= left.present
    raise FederationError("no site released what the priority fit needs; see the events for the reasons.")


def _attempt(exchange: Exchange, priority: Priority) -> Calibrated:
    score = fit_score(exchange, priority)
    chosen = choose_map(exchange, score, priority)
    counted = histograms(exchange, score, chosen.recalibration) if exchange.foldable else {}
    found = bounds(priority, counted, exchange.sites)
    calibrated = CalibratedPriority.from_fit(
        score.fit, terms=priority.terms, tiers=found.unknown, study=exchange.study_digest
    ).model_copy(
        update={
            "recalibration": chosen.recalibration,
            "site_tiers": dict(found.sites),
            "guarantee": found.guarantee,
            "site_guarantees": dict(found.guarantees),
            "reference": None if found.reference is None else tuple(found.reference.tolist()),
            "site_references": {site: tuple(counts.tolist()) for site, counts in found.references.items()},
        }
    )
    judged = judge(exchange, calibrated, priority.bins)
    return Calibrated(calibrated, figures(Found(exchange, score, chosen, found, calibrated, judged)))
