"""A logistic model over all sites' patients: what the sites sum, and how its coefficients are called.

The negative log likelihood, its gradient and its Hessian are sums over patients, so that each Newton step of
the federation is exactly the step of a fit on pooled rows. Averaging local fits is not: each is biased by its
own few patients, and the mean of nonlinear estimates is not the estimate of the mean.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from shared.errors import DataError
from shared.folds import NO_FOLD
from shared.reliability import binary
from shared.sums import FloatArray, Sums

INTERCEPT = "intercept"


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
    x, b = np.asarray(design, dtype=np.float64), np.asarray(coefficients, dtype=np.float64)
    if x.ndim != 2 or x.shape != (*np.shape(outcome), *b.shape):
        raise DataError(f"design {x.shape} must be outcome {np.shape(outcome)} by coefficients {b.shape}")
    nobody = np.full(len(x), NO_FOLD)
    sums = logistic_sums_many(x, outcome, b[None], fold=nobody, left_out=np.zeros(1, np.int64))
    return Sums({name: array[0] for name, array in sums.values.items()})


def logistic_sums_many(
    design: FloatArray,
    outcome: npt.NDArray[np.generic],
    coefficients: FloatArray,
    *,
    fold: npt.NDArray[np.integer],
    left_out: npt.NDArray[np.integer] | None = None,
) -> Sums:
    """`logistic_sums` of m fits at once, each without the patients of one fold.

    Parameters
    ----------
    design, outcome
        (n, d) and (n,), a row per patient.
    coefficients
        (m, d), where to evaluate each fit.
    fold
        (n,), each row's fold; NO_FOLD (-1) is left out of no fit.
    left_out
        (m,), the fold that each fit may not see; unless given, fit j leaves out fold j, so that one more
        fit than folds sees everybody.

    Returns
    -------
    Sums
        As `logistic_sums`, with a first axis of length m.

    Raises
    ------
    DataError
        As `logistic_sums`.
    """
    x, y, b = (
        np.asarray(design, dtype=np.float64),
        binary(outcome),
        np.asarray(coefficients, dtype=np.float64),
    )
    if x.ndim != 2 or b.ndim != 2 or x.shape != (*y.shape, b.shape[1]) or fold.shape != y.shape:
        raise DataError(
            f"design {x.shape} must be outcome {y.shape} by coefficients {b.shape}[1], fold {fold.shape} "
            "as outcome"
        )
    if not np.all(np.isfinite(x)):
        raise DataError(
            "design holds values that are not finite. Missing values must be filled before the fit."
        )
    sees = seen(fold, np.arange(len(b)) if left_out is None else left_out)
    sign = 2 * y[:, None] - 1
    margin = sign * (x @ b.T)
    wrong = expit(-margin)  # probability of the other outcome, accurate also where it is tiny
    weight = sees * wrong * expit(margin)
    return Sums(
        {
            "patients": np.sum(sees, axis=0),
            "loss": np.sum(sees * np.logaddexp(0, -margin), axis=0),
            "gradient": -(sees * sign * wrong).T @ x,
            "hessian": np.stack([(x * own[:, None]).T @ x for own in weight.T]),
        }
    )


def seen(fold: npt.NDArray[np.integer], left_out: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Tell which of n rows each of m fits may see: (n, m)."""
    return np.asarray((fold[:, None] != left_out) | (fold[:, None] == NO_FOLD))


def logistic_shapes(d: int, fits: int | None = None) -> dict[str, tuple[int, ...]]:
    """Names and shapes of `logistic_sums` for d coefficients, of `logistic_sums_many` for m `fits`.

    `patients` is an int64 count.
    """
    m = () if fits is None else (fits,)
    return {"patients": m, "loss": m, "gradient": (*m, d), "hessian": (*m, d, d)}


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
