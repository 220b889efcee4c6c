"""The score's fits over the federation: one without each fold, one of everybody, in the same exchanges.

Each site is asked at its own coefficients and answers in their shape. Where it has an intercept of its own,
the coordinator alone knows how that is composed: with A_s the matrix that takes all coefficients to those of
site s, derivatives at the site become A_s' g and A_s' H A_s. So what crosses does not grow with the number of
sites, and no site gets to see another's intercept.
"""

from dataclasses import dataclass, replace

import numpy as np

from server.calibration.exchange import FIT_SPLIT, Exchange
from shared.calibration import INTERCEPT, is_intercept, logistic_shapes, with_site_names
from shared.newton import Fit, fit_many
from shared.priority import coefficient_names
from shared.shrinkage import between_sites, fit_shrunk, with_deviation_names
from shared.study import Priority
from shared.sums import FloatArray, Sums
from shared.wire import Record


@dataclass(frozen=True)
class ScoreFit:
    """What was fitted at these sites.

    fit : of everybody; `names` are the common intercept, each site's whole intercept, the terms
    scores : by site (folds + 1, 1 + D), its coefficients in each fit; the last is that of everybody
    urgent : by site, how many of its patients were urgent
    patients : by site
    between_sites : variance of the sites' intercepts in squared log-odds; None where they are not shrunk
    """

    fit: Fit
    scores: dict[str, FloatArray]
    urgent: dict[str, int]
    patients: dict[str, int]
    between_sites: float | None


def fit_score(exchange: Exchange, priority: Priority) -> ScoreFit:
    """Fit; raises SiteLeftError when a site does not answer, FederationError without patients."""
    fitting = _Fitting(exchange, priority)
    if priority.site_intercept == "shrunk":
        fits = fit_shrunk(
            fitting.gather,
            priority.folds + 1,
            names=fitting.names,
            ridge=priority.ridge,
            max_steps=priority.max_steps,
        )
    else:
        penalised = np.array([not is_intercept(name) for name in fitting.names])
        fits = fit_many(
            fitting.gather,
            priority.folds + 1,
            names=fitting.names,
            penalised=penalised,
            ridge=priority.ridge,
            max_steps=priority.max_steps,
        )
    coefficients = np.array([fit.coefficients for fit in fits])
    return ScoreFit(
        fit=fitting.whole(fits[-1]),
        scores={site: coefficients @ own.T for site, own in fitting.own.items()},
        urgent=fitting.urgent,
        patients=fitting.patients,
        between_sites=between_sites(fits[-1]) if priority.site_intercept == "shrunk" else None,
    )


class _Fitting:
    """How all coefficients become each site's, and one exchange with all sites."""

    def __init__(self, exchange: Exchange, priority: Priority) -> None:
        self._exchange = exchange
        self._terms = coefficient_names(priority.terms)
        self._kind = priority.site_intercept
        sites = exchange.sites
        self.names = {
            "none": self._terms,
            "own": with_site_names(self._terms, sites),
            "shrunk": with_deviation_names(self._terms, sites),
        }[self._kind]
        self.own = {site: self._at(k) for k, site in enumerate(sites)}
        self.urgent: dict[str, int] = {}
        self.patients: dict[str, int] = {}

    def gather(self, coefficients: FloatArray) -> Sums:
        """One exchange: all coefficients (fits, d) to all sites' sums."""
        fits = len(coefficients)
        fields = {"study_digest": self._exchange.study_digest, "split": FIT_SPLIT}
        records = {
            site: Record("newton", fields, {"coefficients": coefficients @ own.T})
            for site, own in self.own.items()
        }
        shapes = logistic_shapes(len(self._terms), fits)
        sums = self._exchange.every("derivatives", records, answer_kind="derivatives", shapes=shapes)
        if not coefficients.any():
            self._count(sums)
        return Sums.total(_lifted(sums[site], own) for site, own in self.own.items())

    def whole(self, fit: Fit) -> Fit:
        """Tell a fit by the common intercept and each site's whole one.

        Without a common intercept in the model, that of a site that was not there is the mean of all sites',
        weighted by their patients.
        """
        if self._kind == "none":
            return fit
        sites, d = len(self.own), len(self._terms)
        if self._kind == "own":
            shares = np.array(list(self.patients.values())) / sum(self.patients.values())
            common = np.concatenate([shares, np.zeros(d - 1)])
        else:
            common = np.eye(len(self.names))[0]
        intercepts = [matrix[0] for matrix in self.own.values()]
        terms = np.eye(len(self.names))[len(self.names) - (d - 1) :]
        across = np.vstack([common, *intercepts, terms]).reshape(1 + sites + d - 1, len(self.names))
        names = (INTERCEPT, *with_site_names(self._terms, list(self.own)))
        return replace(
            fit,
            names=names,
            coefficients=across @ fit.coefficients,
            covariance=across @ fit.covariance @ across.T,
            penalty=None,
        )

    def _at(self, site: int) -> FloatArray:
        """Build A_s (1 + D, d) of site number `site`."""
        width = len(self.names)
        intercept = np.zeros(width)
        if self._kind == "own":
            intercept[site] = 1
        else:
            intercept[0] = 1
            if self._kind == "shrunk":
                intercept[1 + site] = 1
        first_term = width - (len(self._terms) - 1)
        return np.vstack([intercept, np.eye(width)[first_term:]])

    def _count(self, sums: dict[str, Sums]) -> None:
        # At zero every probability is one half, so the intercept's gradient is the sum of 1/2 - outcome.
        self.patients = {site: int(s["patients"][-1]) for site, s in sums.items()}
        self.urgent = {
            site: round(self.patients[site] / 2 - float(s["gradient"][-1, 0])) for site, s in sums.items()
        }


def _lifted(sums: Sums, own: FloatArray) -> Sums:
    """Turn derivatives by a site's coefficients (fits, 1 + D) into derivatives by all of them."""
    return Sums(
        {
            **sums.values,
            "gradient": sums["gradient"] @ own,
            "hessian": own.T @ sums["hessian"] @ own,
        }
    )
