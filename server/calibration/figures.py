"""What a calibration found, as figures for results.json."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from server.calibration.exchange import Exchange
from server.calibration.judging import Judged
from server.calibration.maps import Chosen
from server.calibration.score import ScoreFit
from server.calibration.tiers import NAMES, Bounds, threshold_at
from server.priority_figures import (
    BrierParts,
    Calibration,
    Candidate,
    ChosenMap,
    Coefficient,
    Detection,
    ScoreCounts,
    SiteCalibration,
)
from server.scores import ReliabilityFigures
from shared.conformal import Threshold, realised
from shared.metrics import wilson_interval
from shared.miscalibration import Miscalibration
from shared.priority import CalibratedPriority
from shared.reliability import brier_decomposition, finish_reliability
from shared.score_bins import EDGES
from shared.sums import IntArray, Sums

UNDETERMINED = Miscalibration(None, None, None, None)


@dataclass(frozen=True)
class Found:
    """Everything that one attempt found."""

    exchange: Exchange
    score: ScoreFit
    chosen: Chosen
    bounds: Bounds
    calibrated: CalibratedPriority
    judged: Judged


def figures(found: Found) -> Calibration:
    """Put everything together."""
    score, bounds, calibrated, judged = found.score, found.bounds, found.calibrated, found.judged
    before, after = Sums.total(judged.before.values()), Sums.total(judged.after.values())
    return Calibration(
        before=_reliability(before),
        after=_reliability(after),
        coefficients={
            name: Coefficient(estimate=value, standard_error=calibrated.standard_errors[name])
            for name, value in calibrated.coefficients.items()
        },
        thresholds=bounds.unknown.model_dump(),
        steps=score.fit.steps,
        converged=score.fit.converged,
        patients=score.fit.patients,
        urgent=sum(score.urgent.values()),
        between_sites=score.between_sites,
        map=_map(found.chosen),
        brier_before=_brier(before),
        brier_after=_brier(after),
        sites={site: _site(site, found) for site in found.exchange.sites},
        guarantees={name: rule.guarantee for name, rule in bounds.rules.items()},
        scores=_counts(judged.counts),
    )


def _site(site: str, found: Found) -> SiteCalibration:
    score, bounds, calibrated, judged = found.score, found.bounds, found.calibrated, found.judged
    after = judged.after.get(site)
    miscalibration = judged.miscalibration.get(site, UNDETERMINED)
    counts = judged.counts.get(site)
    tiers = calibrated.tiers_at(site)
    return SiteCalibration(
        patients=score.patients[site],
        urgent=score.urgent[site],
        in_folds=found.exchange.judged.get(site, 0),
        intercept=float(calibrated.coefficients_at(site)[0]),
        after=None if after is None else _reliability(after),
        **asdict(miscalibration),
        tiers={
            name: _detection(bounds.rules[name].at(site), counts)
            if name in bounds.rules
            else _detection(threshold_at(tiers, name), counts, fixed=getattr(tiers, name))
            for name in NAMES
        },
        pooled_tiers={name: _detection(rule.pooled, counts) for name, rule in bounds.rules.items()},
        guarantee=calibrated.guarantee_at(site),
    )


def _detection(threshold: Threshold, counts: Sums | None, *, fixed: float | None = None) -> Detection:
    values: dict[str, object] = {
        "threshold": threshold.probability if fixed is None else fixed,
        "rule": threshold.rule if fixed is None else "fixed",
    }
    shares = {"sensitivity": None, "specificity": None} if counts is None else _shares(threshold, counts)
    for name, found in shares.items():
        share, of = found or (None, 0)
        values[name] = share
        values[f"{name}_interval"] = None if share is None else wilson_interval(round(share * of), of)
    return Detection.model_validate(values)


def _shares(threshold: Threshold, counts: Sums) -> dict[str, tuple[float, int] | None]:
    """Share and number of patients it is of; None of nobody."""

    def found(histogram: IntArray, *, above: bool) -> tuple[float, int] | None:
        share = realised(histogram, threshold)
        return None if share is None else (share if above else 1 - share, int(histogram.sum()))

    return {
        "sensitivity": found(counts["positives"], above=True),
        "specificity": found(counts["negatives"], above=False),
    }


def _map(chosen: Chosen) -> ChosenMap:
    choice = chosen.choice
    return ChosenMap(
        kind=choice.kind,
        why=choice.why,
        candidates=tuple(Candidate.model_validate(asdict(one)) for one in choice.judged),
        patients=choice.patients,
        parameters=chosen.recalibration.parameters,
        bin_bound=chosen.bin_bound,
    )


def _reliability(sums: Sums) -> ReliabilityFigures:
    return ReliabilityFigures.model_validate(finish_reliability(sums))


def _brier(sums: Sums) -> BrierParts | None:
    parts = brier_decomposition(sums)
    return None if parts is None else BrierParts.model_validate(parts)


def _counts(counts: Mapping[str, Sums]) -> ScoreCounts | None:
    if not counts:
        return None
    total = Sums.total(counts.values())
    return ScoreCounts(
        edges=tuple(EDGES.tolist()),
        positives=tuple(total["positives"].tolist()),
        negatives=tuple(total["negatives"].tolist()),
    )
