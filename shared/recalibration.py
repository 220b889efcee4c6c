"""Maps from a raw score to calibrated log-odds, all monotone, all fitted from sums.

    none         s
    temperature  a s, a = 1/T                        (Guo et al., ICML 2017)
    platt        c + a s                             (Platt 1999)
    beta         c + a ln p + b (-ln(1-p))           (Kull, Silva Filho & Flach, AISTATS 2017)
    isotonic     a step a bin, see shared/isotonic.py

s is the raw log-odds and p its probability. The middle three are logistic fits on columns of one design
[1, s, ln p, -ln(1-p)]: the sites sum the same derivatives for all of them, the coordinator moves only the
columns of each. Their slopes may not be negative, or the map would turn the reading order around. The
optimum under that rule is the best of the fits with some slopes left out whose slopes are all positive: the
problem is convex, so its optimum is the free optimum of one of its faces. Hence it is exact, too.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Self, get_args

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from shared.calibration import logistic_sums_many
from shared.config import Config
from shared.errors import DataError
from shared.newton import Fit, Gather, lockstep, newton, no_penalty
from shared.score_bins import BINS, bin_of
from shared.sums import FloatArray, Sums

Kind = Literal["none", "temperature", "platt", "beta", "isotonic"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""From the simplest on."""

MOST_STEPS = 15
"""Exchanges of the fits of one to three numbers: more are taken only where there is no finite optimum."""

COLUMNS = ("intercept", "log_odds", "log_p", "minus_log_1_minus_p")

_FACES: dict[Kind, tuple[tuple[int, ...], ...]] = {
    "temperature": ((1,),),
    "platt": ((0, 1), (0,)),
    "beta": ((0, 2, 3), (0, 2), (0, 3), (0,)),
}
_FITTED = tuple(sorted({face for faces in _FACES.values() for face in faces}))
FITS_A_FOLD = len(_FITTED)


class Recalibration(Config):
    """A monotone map of raw log-odds.

    `parameters` are the coefficients of COLUMNS; for ``isotonic`` the log-odds of each of BINS bins.
    """

    kind: Kind = "none"
    parameters: tuple[float, ...] = (0.0, 1.0, 0.0, 0.0)

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        expected = BINS if self.kind == "isotonic" else len(COLUMNS)
        if len(self.parameters) != expected:
            raise ValueError(f"{self.kind} has {expected} parameters, found {len(self.parameters)}")
        falls = np.diff(self.parameters) if self.kind == "isotonic" else np.array(self.parameters[1:])
        if np.any(falls < 0):
            raise ValueError(f"{self.kind} must not fall, found parameters {self.parameters}")
        return self

    def log_odds(self, raw: FloatArray) -> FloatArray:
        """Calibrated log-odds of raw ones, (n,) to (n,)."""
        s = np.asarray(raw, dtype=np.float64)
        if self.kind == "isotonic":
            return np.asarray(np.array(self.parameters)[bin_of(s)])
        if self.kind == "none":
            return s
        return np.asarray(design(s) @ np.array(self.parameters))


def design(raw: FloatArray) -> FloatArray:
    """Columns (n, 4) of COLUMNS for raw log-odds (n,); raises DataError for what is not finite."""
    s = np.asarray(raw, dtype=np.float64)
    if not np.all(np.isfinite(s)):
        raise DataError("found log-odds that are not finite. Check the features for NaN and infinity.")
    return np.column_stack([np.ones_like(s), s, -np.logaddexp(0, -s), np.logaddexp(0, s)])


def map_sums(
    raw: FloatArray,
    outcome: npt.NDArray[np.generic],
    coefficients: FloatArray,
    *,
    fold: npt.NDArray[np.integer],
    fits: int,
) -> Sums:
    """Sum the derivatives of the logistic maps over one site's rows, for the gather of `fit_maps`.

    `coefficients` (FITS_A_FOLD * fits, 4) are those of `fits` sets of patients, of which set j leaves out
    fold j. Raises as `logistic_sums_many`.
    """
    left_out = np.arange(len(coefficients)) % fits
    return logistic_sums_many(design(raw), outcome, coefficients, fold=fold, left_out=left_out)


def fit_maps(gather: Gather, fits: int, *, max_steps: int = MOST_STEPS) -> list[dict[Kind, Recalibration]]:
    """Fit temperature, Platt and beta maps to `fits` sets of patients, in the same exchanges for all.

    A map that has no finite optimum (the scores part the outcomes) is left out of its set's answer.

    Parameters
    ----------
    gather
        Coefficients (FITS_A_FOLD * fits, 4) to the total of `map_sums`.

    Raises
    ------
    FederationError
        As `newton`.
    """
    every = np.arange(len(COLUMNS))
    coroutines = [
        newton(COLUMNS, penalty=no_penalty, max_steps=max_steps, active=np.isin(every, face))
        for face in _FITTED
        for _ in range(fits)
    ]
    found = lockstep(coroutines, gather)
    return [_maps({face: found[k * fits + j] for k, face in enumerate(_FITTED)}) for j in range(fits)]


def common_kinds(maps: Sequence[Mapping[Kind, Recalibration]]) -> tuple[Kind, ...]:
    """Kinds that every set of patients has a map of, from the simplest on: those that can be compared."""
    return tuple(kind for kind in KINDS if all(kind in by_kind for by_kind in maps))


def _maps(fits: Mapping[tuple[int, ...], Fit]) -> dict[Kind, Recalibration]:
    maps: dict[Kind, Recalibration] = {"none": Recalibration()}
    for kind, faces in _FACES.items():
        rising = [
            fits[face] for face in faces if fits[face].converged and np.all(fits[face].coefficients[1:] >= 0)
        ]
        if rising:
            best = min(rising, key=lambda fit: fit.loss)
            maps[kind] = Recalibration(kind=kind, parameters=tuple(best.coefficients.tolist()))
    return maps
