"""The priority score, fitted and judged over all sites by exchanging sums only."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from server.federation import Federation
from server.results import Calibration, Coefficient
from server.scores import ReliabilityFigures
from shared.calibration import Fit, fit_newton, is_intercept, logistic_shapes, with_site_names
from shared.errors import FederationError
from shared.priority import CalibratedPriority, coefficient_names
from shared.reliability import finish_reliability, reliability_shapes
from shared.study import Priority
from shared.sums import FloatArray, Sums
from shared.wire import Record

FIT_SPLIT = "validation"
JUDGED_SPLIT = "test"


@dataclass(frozen=True)
class Calibrated:
    """The fitted score, and the figures for results.json."""

    priority: CalibratedPriority
    figures: Calibration


def calibrate(federation: Federation, priority: Priority) -> Calibrated:
    """Fit on the validation patients, judge before and after on the test patients.

    A site that cannot or may not answer is left out and noted; the fit starts again without it, since
    Newton's steps must all see the same patients. Raises FederationError when no site is left.
    """
    nodes = sorted(federation.seats, key=lambda node: federation.seats[node].site)
    while nodes:
        attempt = _Attempt(federation, priority, nodes)
        try:
            fit = attempt.fit()
        except _SiteLeftError:
            nodes = [node for node in nodes if federation.seats[node].site in attempt.present]
            continue
        calibrated = CalibratedPriority.from_fit(
            fit, terms=priority.terms, tiers=priority.tiers, study=federation.study.digest()
        )
        return Calibrated(calibrated, attempt.judge(fit, calibrated))
    raise FederationError("no site released what the priority fit needs; see the events for the reasons.")


class _SiteLeftError(Exception):
    """A site that took part in earlier steps did not answer this one."""


class _Attempt:
    def __init__(self, federation: Federation, priority: Priority, nodes: list[int]) -> None:
        self._federation = federation
        self._priority = priority
        self._nodes = nodes
        self._sites = [federation.seats[node].site for node in nodes]
        self.present = set(self._sites)
        names = coefficient_names(priority.terms)
        self._names = with_site_names(names, self._sites) if priority.site_intercept else names

    def fit(self) -> Fit:
        return fit_newton(
            self._derivatives,
            names=self._names,
            penalised=np.array([not is_intercept(name) for name in self._names]),
            ridge=self._priority.ridge,
            max_steps=self._priority.max_steps,
        )

    def judge(self, fit: Fit, calibrated: CalibratedPriority) -> Calibration:
        before = self._reliability(calibrated, calibrated_score=False)
        after = self._reliability(calibrated, calibrated_score=True)
        both = before.keys() & after.keys()  # only the same patients can be compared
        if not both:
            raise FederationError("no site released reliability bins; see the events for the reasons.")
        tiers = self._priority.tiers
        return Calibration(
            before=_figures(before[site] for site in both),
            after=_figures(after[site] for site in both),
            coefficients={
                name: Coefficient(estimate=value, standard_error=calibrated.standard_errors[name])
                for name, value in calibrated.coefficients.items()
            },
            thresholds={"urgent": tiers.urgent, "asap": tiers.asap, "stat": tiers.stat},
            steps=fit.steps,
            converged=fit.converged,
            patients=fit.patients,
            urgent=self._urgent(fit),
        )

    def _derivatives(self, coefficients: FloatArray) -> Sums:
        arrays = {"coefficients": coefficients}
        digest = self._federation.study.digest()
        records = {
            node: Record(
                "newton",
                {"study_digest": digest, "split": FIT_SPLIT, "site_index": i, "sites": len(self._nodes)},
                arrays,
            )
            for i, node in enumerate(self._nodes)
        }
        sums = self._total("derivatives", records, logistic_shapes(len(self._names)))
        if not coefficients.any():
            self._at_zero = sums
        return sums

    def _reliability(self, calibrated: CalibratedPriority, *, calibrated_score: bool) -> dict[str, Sums]:
        digest = self._federation.study.digest()
        records = {
            node: Record(
                "reliability",
                {"study_digest": digest, "split": JUDGED_SPLIT, "calibrated": calibrated_score},
                {"coefficients": calibrated.coefficients_at(site)},
            )
            for node, site in zip(self._nodes, self._sites, strict=True)
        }
        return self._federation.gather(
            "reliability",
            records,
            answer_kind="reliability_bins",
            shapes=reliability_shapes(self._priority.bins),
        )

    def _total(self, phase: str, records: dict[int, Record], shapes: dict[str, tuple[int, ...]]) -> Sums:
        sums = self._federation.gather(phase, records, answer_kind="derivatives", shapes=shapes)
        if set(sums) != self.present:
            self.present = set(sums)
            raise _SiteLeftError
        return Sums.total(sums.values())

    def _urgent(self, fit: Fit) -> int:
        # At zero every probability is one half, so the intercept's gradient is the sum of 1/2 - outcome.
        gradient = self._at_zero["gradient"]
        intercepts = [i for i, name in enumerate(fit.names) if is_intercept(name)]
        return round(fit.patients / 2 - float(gradient[intercepts].sum()))


def _figures(sums: Iterable[Sums]) -> ReliabilityFigures:
    return ReliabilityFigures.model_validate(finish_reliability(Sums.total(sums)))
