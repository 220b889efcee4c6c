"""One intercept common to all sites, and a deviation from it for each site that shrinks towards zero.

A hospital sees more or fewer urgent scans than others. With an intercept of its own a small one would be
taken at its few patients' word; with the common one alone it would not be heard. Here deviations u are drawn
from a normal distribution of variance tau^2, which the sums themselves tell: the penalty u^2 / (2 tau^2)
weighs little where a site has many patients and much where it has few.

tau^2 is estimated by penalised quasi-likelihood (Breslow & Clayton, JASA 88:9-25, 1993): around the present
coefficients the model is a linear mixed one, whose restricted likelihood (REML) gives tau^2, then follows
one Newton step. The fit needs nothing but the usual sums, hence is the fit on pooled rows. It inherits what
is known of this estimate: tau^2 comes out too small where sites have very few patients (Breslow & Lin,
Biometrika 82:81-91, 1995), so that such sites lean on the common intercept more, not less.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from shared.calibration import INTERCEPT, is_intercept, with_site_intercept
from shared.newton import Fit, Fitting, Gather, Penalty, inverse, lockstep, newton, ridge_penalty
from shared.sums import FloatArray, Sums

DEVIATION = "deviation"

LOWEST_LOG, HIGHEST_LOG = np.log(1e-10), np.log(100.0)
"""Between these log(tau^2) is sought; the lower end stands for no difference between sites."""


def with_deviations(design: FloatArray, site_index: int | npt.NDArray[np.integer], sites: int) -> FloatArray:
    """Put a column per site behind the intercept of `design` (n, d): (n, 1 + sites + d - 1).

    `site_index` is a site's own number 0..sites-1, for pooled rows an array (n,). Raises DataError for
    another number.
    """
    return np.hstack([design[:, :1], with_site_intercept(design, site_index, sites)])


def with_deviation_names(names: Sequence[str], sites: Sequence[str]) -> tuple[str, ...]:
    """Coefficient names of `with_deviations`: the intercept, ``deviation[site]`` for each, the terms."""
    return (names[0], *(f"{DEVIATION}[{site}]" for site in sites), *names[1:])


def is_deviation(name: str) -> bool:
    """Whether a coefficient name is a site's deviation from the common intercept."""
    return name.startswith(f"{DEVIATION}[")


def fit_shrunk(gather: Gather, fits: int, *, names: Sequence[str], ridge: float, max_steps: int) -> list[Fit]:
    """Fit `fits` models with deviations in lockstep, each with a tau^2 of its own; see `shrunk`."""
    return lockstep([shrunk(names, ridge=ridge, max_steps=max_steps) for _ in range(fits)], gather)


def shrunk(names: Sequence[str], *, ridge: float, max_steps: int, tolerance: float = 1e-10) -> Fitting:
    """Fit with deviations, for `lockstep`; `names` as from `with_deviation_names`.

    `ridge` weighs the terms as in `fit_many`. A site without patients keeps deviation 0 with variance
    tau^2: it gets the common intercept, as does a site that took no part. tau^2 is `between_sites` of the
    fit. Raises as `newton`.
    """
    deviates = np.array([is_deviation(name) for name in names])
    terms = ~deviates & np.array([not is_intercept(name) for name in names])
    return newton(
        names,
        penalty=_shrinking(ridge_penalty(ridge, terms), deviates),
        max_steps=max_steps,
        tolerance=tolerance,
    )


def between_sites(fit: Fit) -> float:
    """tau^2 of a shrunk fit, in squared log-odds; 0 where the sites could not be told apart."""
    weights = [w for name, w in zip(fit.names, _penalty(fit), strict=True) if is_deviation(name)]
    return 1 / float(weights[0]) if weights and weights[0] < 0.99 * np.exp(-LOWEST_LOG) else 0.0


def intercept_at(fit: Fit, site: str | None) -> float:
    """Intercept of a shrunk fit at a site; an unknown one gets the common intercept."""
    values = dict(zip(fit.names, fit.coefficients.tolist(), strict=True))
    return float(values[INTERCEPT] + values.get(f"{DEVIATION}[{site}]", 0.0))


def _shrinking(ridge: Penalty, deviates: npt.NDArray[np.bool_]) -> Penalty:
    def penalty(coefficients: FloatArray, sums: Sums) -> FloatArray:
        weights = ridge(coefficients, sums)
        hessian = sums["hessian"] + np.diag(weights)
        toward = hessian @ coefficients - sums["gradient"] - weights * coefficients
        return np.asarray(weights + deviates / _variance(hessian, toward, deviates))

    return penalty


def _variance(hessian: FloatArray, toward: FloatArray, deviates: npt.NDArray[np.bool_]) -> float:
    """tau^2 of largest restricted likelihood in the model 1/2 b'Hb - toward'b + u'u / (2 tau^2).

    Without all but the deviations u (a Schur complement) and along the axes that part them, this is one
    number l and q an axis: u = q tau^2 / (1 + l tau^2) with variance tau^2 / (1 + l tau^2). The EM step
    tau^2 <- mean(u^2 + var u) then stands still exactly where the derivative of

        1/2 sum of (q^2 tau^2 / (1 + l tau^2) - log(1 + l tau^2))

    is 0. That is sought directly: near tau^2 = 0 EM would need thousands of steps.
    """
    u, rest = np.flatnonzero(deviates), np.flatnonzero(~deviates)
    across = hessian[np.ix_(u, rest)] @ inverse(hessian[np.ix_(rest, rest)])
    own = hessian[np.ix_(u, u)]
    values, axes = np.linalg.eigh(own - across @ hessian[np.ix_(rest, u)])
    known = values > 1e-10 * np.max(np.diag(own))  # one direction is the common intercept's: rounding only
    length = values[known]
    squared = (axes.T @ (toward[u] - across @ toward[rest]))[known] ** 2

    def likelihood(log_variance: FloatArray) -> FloatArray:
        t = np.exp(log_variance)[:, None]
        return np.asarray(np.sum(squared * t / (1 + length * t) - np.log1p(length * t), axis=1))

    def slope(log_variance: float) -> float:
        t = np.exp(log_variance)
        return float(np.sum(squared / (1 + length * t) ** 2 - length / (1 + length * t)))

    grid = np.linspace(LOWEST_LOG, HIGHEST_LOG, 200)
    best = int(np.argmax(likelihood(grid)))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    if best and slope(low) > 0 > slope(high):
        return float(np.exp(brentq(slope, low, high, xtol=1e-14, rtol=1e-14)))
    return float(np.exp(grid[best]))


def _penalty(fit: Fit) -> FloatArray:
    return np.zeros(len(fit.names)) if fit.penalty is None else fit.penalty
