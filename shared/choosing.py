"""Which calibration map to use: judged by log loss on patients that the map never saw.

The simplest map whose loss lies within one standard error of the best one's is taken (Breiman et al. 1984,
section 3.4.3; Hastie, Tibshirani & Friedman, section 7.10). The error meant here is that of the difference
from the best, patient by patient: both maps meet the same patients, so most of the chance cancels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.errors import DataError
from shared.recalibration import KINDS, Kind, Recalibration
from shared.reliability import binary
from shared.sums import FloatArray, Sums


@dataclass(frozen=True)
class Judged:
    """One map: its mean held-out log loss in nats, what it is above the best, and how sure that is."""

    kind: Kind
    log_loss: float
    above_best: float
    standard_error: float


@dataclass(frozen=True)
class Choice:
    """The map to use, why, and all that were compared, from the simplest on."""

    kind: Kind
    why: str
    judged: tuple[Judged, ...]
    patients: int


def held_out_sums(
    raw: FloatArray,
    outcome: npt.NDArray[np.generic],
    *,
    fold: npt.NDArray[np.integer],
    maps: Sequence[Mapping[Kind, Recalibration]],
    kinds: Sequence[Kind],
) -> Sums:
    """Sum one site's log losses over the rows that are in a fold, under the maps that never saw them.

    Parameters
    ----------
    raw, outcome, fold
        (n,); rows in NO_FOLD are not judged.
    maps
        By fold: the maps fitted without it.
    kinds
        The c kinds to judge, present in each of `maps`.

    Returns
    -------
    Sums
        ``patients`` (), ``loss`` (c,), ``products`` (c, c): sums of products of two kinds' losses.

    Raises
    ------
    DataError
        A fold without maps.
    """
    s, sign = np.asarray(raw, dtype=np.float64), 2 * binary(outcome) - 1
    if np.any(fold >= len(maps)):
        raise DataError(f"found fold {int(np.max(fold))}, expected maps of 0..{len(maps) - 1} only")
    losses = np.zeros((len(s), len(kinds)))
    for k, by_kind in enumerate(maps):
        rows = fold == k
        for c, kind in enumerate(kinds):
            losses[rows, c] = np.logaddexp(0, -sign[rows] * by_kind[kind].log_odds(s[rows]))
    judged = losses[fold >= 0]
    return Sums(
        {"patients": np.array(len(judged)), "loss": judged.sum(axis=0), "products": judged.T @ judged}
    )


def held_out_shapes(kinds: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of `held_out_sums`; `patients` is an int64 count."""
    return {"patients": (), "loss": (kinds,), "products": (kinds, kinds)}


def choose(sums: Sums, kinds: Sequence[Kind]) -> Choice:
    """Choose among `kinds` (c,) by the total of the sites' `held_out_sums`.

    With fewer than two judged patients the simplest is taken, and `why` says so.
    """
    n = int(sums["patients"])
    order = sorted(range(len(kinds)), key=lambda c: KINDS.index(kinds[c]))
    if n < 2:
        return Choice(
            kind=kinds[order[0]],
            why=f"{kinds[order[0]]}: no site had enough patients to judge the others on held-out ones",
            judged=(),
            patients=n,
        )
    mean, squares = sums["loss"] / n, sums["products"] / n
    best = min(order, key=lambda c: float(mean[c]))
    above = mean - mean[best]
    spread = np.diag(squares) + squares[best, best] - 2 * squares[:, best] - above**2
    error = np.sqrt(np.maximum(0, spread) / (n - 1))
    taken = next(c for c in order if above[c] <= error[c])
    judged = tuple(Judged(kinds[c], float(mean[c]), float(above[c]), float(error[c])) for c in order)
    return Choice(kinds[taken], _why(judged, kinds[taken], kinds[best], n), judged, n)


def _why(judged: Sequence[Judged], taken: Kind, best: Kind, patients: int) -> str:
    of = {j.kind: j for j in judged}
    lowest = f"held-out log loss {of[best].log_loss:.4f}, the lowest of {len(judged)} on {patients} patients"
    if taken == best:
        simpler = [j for j in judged if KINDS.index(j.kind) < KINDS.index(best)]
        closest = min(simpler, key=lambda j: j.above_best, default=None)
        if closest is None:
            return f"{best}: {lowest}, and the simplest"
        return (
            f"{best}: {lowest}; the best simpler one, {closest.kind}, is {closest.above_best:.4f} above it, "
            f"more than one standard error ({closest.standard_error:.4f})"
        )
    return (
        f"{taken}: {of[taken].above_best:.4f} above {best}, whose {lowest}, which is within one standard "
        f"error ({of[taken].standard_error:.4f}); {taken} is simpler"
    )
