"""Newton on sums of derivatives: one logistic fit, or many that share their exchanges with the sites.

A fit is a coroutine (`newton`). It yields the coefficients at which it needs the sums of all sites, is sent
them, and returns a `Fit`. `lockstep` runs any number of such coroutines with one exchange for all of them.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from shared.errors import FederationError
from shared.sums import FloatArray, Sums

Gather = Callable[[FloatArray], Sums]
"""One exchange with all sites: coefficients to the total of their sums there."""

Penalty = Callable[[FloatArray, Sums], FloatArray]
"""Coefficients (d,) and the sums there to the weights w (d,) of the penalty 1/2 sum of w_j b_j^2."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A logistic regression: `coefficients` (d,) and `covariance` (d, d) in the order of `names`.

    `covariance` is the inverse of the penalised Hessian; a column that is zero for every patient and not
    penalised keeps coefficient and variance 0. `steps` counts exchanges with the sites after the first.
    `loss` is the summed negative log likelihood without the penalty. `converged` is False where no finite
    optimum was reached within the steps. `penalty` (d,) holds the weights of the penalty at the end.
    """

    names: tuple[str, ...]
    coefficients: FloatArray
    covariance: FloatArray
    steps: int
    converged: bool
    loss: float
    patients: int
    penalty: FloatArray | None = None


Fitting = Generator[FloatArray, Sums, Fit]


def fit_newton(
    gather: Gather,
    *,
    names: Sequence[str],
    penalised: npt.NDArray[np.bool_],
    ridge: float,
    max_steps: int,
    tolerance: float = 1e-10,
) -> Fit:
    """Minimise loss(b) + patients * ridge/2 * sum of b_j^2 over `penalised` j, by damped Newton from zero.

    The case of one of `fit_many`, where `gather` takes (d,) and gives the total of `logistic_sums`.
    """

    def alone(coefficients: FloatArray) -> Sums:
        sums = gather(coefficients[0])
        return Sums({name: array[None] for name, array in sums.values.items()})

    penalty = ridge_penalty(ridge, penalised)
    [fit] = lockstep([newton(names, penalty=penalty, max_steps=max_steps, tolerance=tolerance)], alone)
    return fit


def fit_many(
    gather: Gather,
    fits: int,
    *,
    names: Sequence[str],
    penalised: npt.NDArray[np.bool_],
    ridge: float,
    max_steps: int,
    tolerance: float = 1e-10,
) -> list[Fit]:
    """Fit the same model to `fits` sets of patients, such as all but one fold each, in the same exchanges.

    The penalty grows with the patients, like the loss: `ridge` weighs it against one patient's loss whatever
    the size of the federation (scikit-learn: C = 1 / (patients * ridge)).

    Parameters
    ----------
    gather
        Coefficients (fits, d) to the total of the sites' `logistic_sums_many`.
    names, penalised
        The d coefficients and which of them the ridge shrinks.
    max_steps
        Exchanges after the first, halved steps included.

    Raises
    ------
    FederationError
        As `newton`.
    """
    penalty = ridge_penalty(ridge, penalised)
    return lockstep(
        [newton(names, penalty=penalty, max_steps=max_steps, tolerance=tolerance) for _ in range(fits)],
        gather,
    )


def lockstep(fits: Sequence[Fitting], gather: Gather) -> list[Fit]:
    """Run m fits of d coefficients each with one exchange for all of them at a time.

    `gather` takes (m, d) and returns sums whose arrays have a first axis of length m. A fit that has ended
    repeats the coefficients it asked for last: its sums tell nothing new and are not looked at.
    """
    asked = np.stack([next(fit) for fit in fits])
    ended: dict[int, Fit] = {}
    while len(ended) < len(fits):
        sums = gather(asked.copy())
        for j, fit in enumerate(fits):
            if j in ended:
                continue
            try:
                asked[j] = fit.send(Sums({name: array[j] for name, array in sums.values.items()}))
            except StopIteration as end:
                ended[j] = end.value
    return [ended[j] for j in range(len(fits))]


def ridge_penalty(ridge: float, penalised: npt.NDArray[np.bool_]) -> Penalty:
    """Weigh each of the `penalised` (d,) coefficients with patients * ridge."""
    weights = ridge * np.asarray(penalised, dtype=np.float64)
    return lambda _, sums: int(sums["patients"]) * weights


def no_penalty(coefficients: FloatArray, sums: Sums) -> FloatArray:  # noqa: ARG001 - as every Penalty
    """Shrink nothing."""
    return np.zeros_like(coefficients)


def newton(
    names: Sequence[str],
    *,
    penalty: Penalty,
    max_steps: int,
    tolerance: float = 1e-10,
    start: FloatArray | None = None,
    active: npt.NDArray[np.bool_] | None = None,
) -> Fitting:
    """Fit by damped Newton steps: yield coefficients (d,), be sent their `logistic_sums`, return the `Fit`.

    A step that raises the penalised loss is halved until it does not. The penalty's weights are asked for
    anew after each step that was taken. The fit has converged when the next step is below `tolerance`
    standard errors and small beside the coefficients; on separable outcomes without a ridge standard errors
    grow without end, so that the first alone would mistake divergence for convergence.

    Parameters
    ----------
    start
        (d,), zeros unless given.
    active
        (d,), all unless given: the others keep their start and get variance 0.

    Raises
    ------
    FederationError
        No patients, or another number of patients in a later exchange.
    """
    first = np.zeros(len(names)) if start is None else np.array(start, dtype=np.float64)
    moves = np.ones(len(names), dtype=bool) if active is None else np.asarray(active)
    here = _Point(first, (yield first), np.zeros(len(names)), moves)
    if here.patients == 0:
        raise FederationError("found no patients to fit on. Check which sites hold calibration patients.")
    here = replace(here, weights=penalty(here.coefficients, here.sums))
    direction, steps, size = here.newton(), 0, 1.0
    converged = _is_last(here, direction, tolerance)
    while not converged and steps < max_steps:
        steps += 1
        b = here.coefficients + size * direction
        there = replace(here, coefficients=b, sums=(yield b))
        if there.patients != here.patients:
            raise FederationError(
                f"{there.patients} patients answered, expected {here.patients} as in the exchange before. "
                "Start the fit again with the sites that are still there."
            )
        if there.objective > here.objective + 1e-12 * max(1.0, abs(here.objective)):
            size /= 2
            continue
        here, size = replace(there, weights=penalty(b, there.sums)), 1.0
        direction = here.newton()
        converged = _is_last(here, direction, tolerance)
    return Fit(
        names=tuple(names),
        coefficients=here.coefficients,
        covariance=here.covariance,
        steps=steps,
        converged=converged,
        loss=float(here.sums["loss"]),
        patients=here.patients,
        penalty=here.weights,
    )


@dataclass(frozen=True, eq=False)
class _Point:
    """The penalised objective and its derivatives at one set of coefficients; 0 where one may not move."""

    coefficients: FloatArray
    sums: Sums
    weights: FloatArray
    active: npt.NDArray[np.bool_]

    @property
    def patients(self) -> int:
        return int(self.sums["patients"])

    @property
    def objective(self) -> float:
        return float(self.sums["loss"]) + float(self.weights @ self.coefficients**2) / 2

    @property
    def gradient(self) -> FloatArray:
        return np.asarray(self.active * (self.sums["gradient"] + self.weights * self.coefficients))

    @property
    def covariance(self) -> FloatArray:
        # Of what moves alone: a pseudo-inverse of the whole would leave dust in the rest.
        moves = np.ix_(self.active, self.active)
        covariance = np.zeros_like(self.sums["hessian"])
        covariance[moves] = inverse((self.sums["hessian"] + np.diag(self.weights))[moves])
        return covariance

    def newton(self) -> FloatArray:
        return -self.covariance @ self.gradient


def _is_last(point: _Point, direction: FloatArray, tolerance: float) -> bool:
    standard_errors = np.sqrt(max(0.0, float(-direction @ point.gradient)))
    settled = np.max(np.abs(direction)) <= 1e-6 * (1 + np.max(np.abs(point.coefficients)))
    return bool(standard_errors <= tolerance and settled)


def inverse(hessian: FloatArray) -> FloatArray:
    """Pseudo-inverse of a positive semi-definite (d, d); a column of zeros stays one.

    Scaled to a unit diagonal first, so that it drops only collinear columns, never merely small ones.
    """
    scale = np.sqrt(np.diag(hessian))
    scale = np.where(scale > 0, scale, 1.0)
    outer = np.outer(scale, scale)
    return np.asarray(np.linalg.pinv(hessian / outer, rcond=1e-12, hermitian=True) / outer)
