"""A logistic fit over all sites' patients, by Newton steps on summed derivatives.

The negative log likelihood, its gradient and its Hessian are sums over patients, so that each Newton step of
the federation is exactly the step of a fit on pooled rows. Averaging local fits is not: each is biased by its
own few patients, and the mean of nonlinear estimates is not the estimate of the mean.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from shared.errors import DataError, FederationError
from shared.reliability import binary
from shared.sums import FloatArray, Sums

INTERCEPT = "intercept"


@dataclass(frozen=True, eq=False)
class Fit:
    """A logistic regression: `coefficients` (d,) and `covariance` (d, d) in the order of `names`.

    `covariance` is the inverse of the penalised Hessian; a column that is zero for every patient and not
    penalised keeps coefficient and variance 0. `steps` counts exchanges with the sites after the first.
    `loss` is the summed negative log likelihood without the penalty. `converged` is False where no finite
    optimum was reached within the steps.
    """

    names: tuple[str, ...]
    coefficients: FloatArray
    covariance: FloatArray
    steps: int
    converged: bool
    loss: float
    patients: int


def logistic_sums(design: FloatArray, outcome: npt.NDArray[np.generic], coefficients: FloatArray) -> Sums:
    """Negative log likelihood of one site's rows and its derivatives, without any penalty.

    Parameters
    ----------
    design
        (n, d), a row per patient.
    outcome
        (n,), 0 or 1.
    coefficients
        (d,), where to evaluate.

    Raises
    ------
    DataError
        Shapes do not fit, an outcome is neither 0 nor 1, or the design is not finite.
    """
    x, y, b = (
        np.asarray(design, dtype=np.float64),
        binary(outcome),
        np.asarray(coefficients, dtype=np.float64),
    )
    if x.ndim != 2 or x.shape != (*y.shape, *b.shape):
        raise DataError(f"design {x.shape} must be outcome {y.shape} by coefficients {b.shape}")
    if not np.all(np.isfinite(x)):
        raise DataError(
            "design holds values that are not finite. Missing values must be filled before the fit."
        )
    sign = 2 * y - 1
    margin = sign * (x @ b)
    wrong = expit(-margin)  # probability of the other outcome, accurate also where it is tiny
    return Sums(
        {
            "patients": np.array(len(y)),
            "loss": np.sum(np.logaddexp(0, -margin)),
            "gradient": -(sign * wrong) @ x,
            "hessian": (x * (wrong * expit(margin))[:, None]).T @ x,
        }
    )


def logistic_shapes(d: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of `logistic_sums` for d coefficients; `patients` is an int64 count."""
    return {"patients": (), "loss": (), "gradient": (d,), "hessian": (d, d)}


def with_site_intercept(
    design: FloatArray, site_index: int | npt.NDArray[np.integer], sites: int
) -> FloatArray:
    """Replace the intercept, column 0 of `design` (n, d), by one intercept per site: (n, sites + d - 1).

    One column per site and no common one keeps every coefficient identified without a reference site. At a
    site `site_index` is its own number 0..sites-1; for pooled rows it is an array (n,). Leave all of them
    unpenalised.

    Raises
    ------
    DataError
        A site number outside 0..sites-1.
    """
    index = np.broadcast_to(np.asarray(site_index), len(design))
    if np.any((index < 0) | (index >= sites)):
        raise DataError(f"site_index must lie in 0..{sites - 1}, found {np.unique(index)}")
    return np.hstack([np.eye(sites)[index], design[:, 1:]])


def with_site_names(names: Sequence[str], sites: Sequence[str]) -> tuple[str, ...]:
    """Coefficient names of `with_site_intercept`: ``intercept[site]`` for each site, then the terms."""
    return (*(f"{INTERCEPT}[{site}]" for site in sites), *names[1:])


def is_intercept(name: str) -> bool:
    """Whether a coefficient name is the common intercept or a site's, and therefore never penalised."""
    return name == INTERCEPT or name.startswith(f"{INTERCEPT}[")


def fit_newton(
    gather: Callable[[FloatArray], Sums],
    *,
    names: Sequence[str],
    penalised: npt.NDArray[np.bool_],
    ridge: float,
    max_steps: int,
    tolerance: float = 1e-10,
) -> Fit:
    """Minimise loss(b) + patients * ridge/2 * sum of b_j^2 over `penalised` j, by damped Newton from zero.

    The penalty grows with the patients, like the loss: `ridge` weighs it against one patient's loss whatever
    the size of the federation (scikit-learn: C = 1 / (patients * ridge)). A step that raises the penalised
    loss is halved until it does not. The fit has converged when the next step is below `tolerance` standard
    errors and small beside the coefficients; on separable outcomes without a ridge standard errors grow
    without end, so that the first alone would mistake divergence for convergence.

    Parameters
    ----------
    gather
        One exchange with all sites: coefficients (d,) to the total of their `logistic_sums`.
    names, penalised
        The d coefficients and which of them the ridge shrinks.
    max_steps
        Exchanges after the first, halved steps included.

    Raises
    ------
    FederationError
        No patients, or another number of patients in a later exchange.
    """
    weight = ridge * np.asarray(penalised, dtype=np.float64)
    here = _Point.at(np.zeros(len(names)), gather, weight)
    if here.patients == 0:
        raise FederationError("found no patients to fit on. Check which sites hold calibration patients.")
    direction, steps, size = here.newton(), 0, 1.0
    converged = _is_last(here, direction, tolerance)
    while not converged and steps < max_steps:
        steps += 1
        there = _Point.at(here.coefficients + size * direction, gather, weight)
        if there.patients != here.patients:
            raise FederationError(
                f"{there.patients} patients answered, expected {here.patients} as in the exchange before. "
                "Start the fit again with the sites that are still there."
            )
        if there.objective > here.objective + 1e-12 * max(1.0, abs(here.objective)):
            size /= 2
            continue
        here, size = there, 1.0
        direction = here.newton()
        converged = _is_last(here, direction, tolerance)
    return Fit(
        names=tuple(names),
        coefficients=here.coefficients,
        covariance=_inverse(here.hessian),
        steps=steps,
        converged=converged,
        loss=here.loss,
        patients=here.patients,
    )


@dataclass(frozen=True, eq=False)
class _Point:
    """The penalised objective and its derivatives at one set of coefficients."""

    coefficients: FloatArray
    objective: float
    gradient: FloatArray
    hessian: FloatArray
    loss: float
    patients: int

    @classmethod
    def at(cls, b: FloatArray, gather: Callable[[FloatArray], Sums], weight: FloatArray) -> "_Point":
        sums = gather(b)
        patients, loss = int(sums["patients"]), float(sums["loss"])
        penalty = patients * weight
        return cls(
            coefficients=b,
            objective=loss + float(penalty @ b**2) / 2,
            gradient=sums["gradient"] + penalty * b,
            hessian=sums["hessian"] + np.diag(penalty),
            loss=loss,
            patients=patients,
        )

    def newton(self) -> FloatArray:
        return -_inverse(self.hessian) @ self.gradient


def _is_last(point: _Point, direction: FloatArray, tolerance: float) -> bool:
    standard_errors = np.sqrt(max(0.0, float(-direction @ point.gradient)))
    settled = np.max(np.abs(direction)) <= 1e-6 * (1 + np.max(np.abs(point.coefficients)))
    return bool(standard_errors <= tolerance and settled)


def _inverse(hessian: FloatArray) -> FloatArray:
    # Scaled to a unit diagonal, the pseudo-inverse drops only collinear columns, never merely small ones.
    scale = np.sqrt(np.diag(hessian))
    scale = np.where(scale > 0, scale, 1.0)
    outer = np.outer(scale, scale)
    return np.asarray(np.linalg.pinv(hessian / outer, rcond=1e-12, hermitian=True) / outer)
