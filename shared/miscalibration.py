"""Calibration-in-the-large and the calibration slope, from the same sums as every logistic fit.

Van Calster et al., BMC Medicine 17:230 (2019): mean and weak calibration. In the large: the intercept of a
logistic fit in which the log-odds have slope 1; 0 is ideal, above it scores are too low. Slope: that of a
free fit; 1 is ideal, below it scores are too extreme.
"""

from dataclasses import dataclass

import numpy as np

from shared.newton import Fit, Fitting, Gather, lockstep, newton, no_penalty
from shared.recalibration import COLUMNS, MOST_STEPS

FITS = 2


@dataclass(frozen=True)
class Miscalibration:
    """Estimates with standard errors; None where no finite one exists, as with outcomes all alike."""

    in_the_large: float | None
    in_the_large_error: float | None
    slope: float | None
    slope_error: float | None


def miscalibration(gather: Gather, *, max_steps: int = MOST_STEPS) -> Miscalibration:
    """Judge given log-odds.

    `gather` maps coefficients (FITS, 4) to the total of `map_sums(log_odds, outcome, ..., fits=FITS)` with
    every row in NO_FOLD. To judge several sites in the same exchanges, put the `large_and_slope` of each
    into one `lockstep` and let each site answer its own two rows. Raises as `newton`.
    """
    return finish(*lockstep(large_and_slope(max_steps=max_steps), gather))


def large_and_slope(*, max_steps: int = MOST_STEPS) -> tuple[Fitting, Fitting]:
    """Make the two fits, for `lockstep`; `finish` reads them."""
    slope_one, intercept = np.array([0.0, 1, 0, 0]), np.array([True, False, False, False])
    both = np.array([True, True, False, False])
    return (
        newton(COLUMNS, penalty=no_penalty, max_steps=max_steps, start=slope_one, active=intercept),
        newton(COLUMNS, penalty=no_penalty, max_steps=max_steps, start=slope_one, active=both),
    )


def finish(large: Fit, slope: Fit) -> Miscalibration:
    """Read the two fits of `large_and_slope`."""
    return Miscalibration(*_estimate(large, 0), *_estimate(slope, 1))


def _estimate(fit: Fit, column: int) -> tuple[float, float] | tuple[None, None]:
    if not fit.converged:
        return None, None
    return float(fit.coefficients[column]), float(np.sqrt(fit.covariance[column, column]))
