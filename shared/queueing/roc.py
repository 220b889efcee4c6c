"""What the order saves along a whole ROC curve, from two histograms of the score.

The histograms share their bins, lowest score first: patients who turned out diseased, and the others. Every
edge of a bin is a possible threshold; it gives a sensitivity and a specificity, these give two tiers, and the
formulas of `expected` give the waits. Poisson arrivals at a constant rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from shared.errors import ConfigError
from shared.queueing.classes import Reading, Triage
from shared.queueing.expected import expected
from shared.sums import IntArray


@dataclass(frozen=True)
class Point:
    """One threshold: scans in `bin` and above come first. Minutes against first come, first served.

    `diseased` is what they save; `others` and `missed` what these wait longer. `missed` are the diseased
    below the threshold: None where there are none.
    """

    bin: int
    sensitivity: float
    specificity: float
    diseased: float
    others: float
    missed: float | None


@dataclass(frozen=True)
class Curve:
    """Thresholds from all scans first to none, and everybody's mean wait in minutes without an order."""

    first_come: float
    points: tuple[Point, ...]

    @property
    def best(self) -> Point:
        """The threshold that saves the diseased most; of equals the one with the highest sensitivity."""
        return max(self.points, key=lambda p: (round(p.diseased, 9), p.sensitivity, p.specificity))


def along(
    diseased: npt.ArrayLike, others: npt.ArrayLike, reading: Reading, *, prevalence: float | None = None
) -> Curve:
    """Return what every threshold saves, of counts (B,) and (B,).

    Raises
    ------
    ConfigError
        Counts that are no histograms of the same bins, or one of them empty.
    NoFormulaError
        As `expected`.
    """
    pair = histograms(diseased, others)
    without = expected(_triage(*pair, [0], prevalence).first_come(), reading)
    points = []
    for threshold in range(len(pair[0]) + 1):
        triage = _triage(*pair, [threshold], prevalence)
        found = expected(triage, reading)
        points.append(
            Point(
                bin=threshold,
                sensitivity=triage.diseased[0],
                specificity=triage.others[1],
                diseased=without.diseased - found.diseased,
                others=found.others - without.others,
                missed=found.missed - without.diseased if triage.diseased[1] else None,
            )
        )
    return Curve(first_come=without.diseased, points=tuple(points))


def tiered(
    diseased: npt.ArrayLike, others: npt.ArrayLike, bounds: Sequence[int], *, prevalence: float | None = None
) -> Triage:
    """Return the tiers that `bounds` cut: bins, highest first; each belongs to the tier above it."""
    return _triage(*histograms(diseased, others), bounds, prevalence)


def histograms(diseased: npt.ArrayLike, others: npt.ArrayLike) -> tuple[IntArray, IntArray]:
    """Two histograms of the same bins (B,), as counts; ConfigError for anything else."""
    pair = np.asarray(diseased), np.asarray(others)
    if pair[0].shape != pair[1].shape or pair[0].ndim != 1 or not pair[0].size:
        raise ConfigError(
            f"histograms have shapes {pair[0].shape} and {pair[1].shape}, expected (B,) of the same bins."
        )
    for counts in pair:
        if np.any(counts < 0) or not counts.sum() or np.any(counts != np.round(counts)):
            raise ConfigError(f"a histogram holds {counts.tolist()}, expected counts, and at least one.")
    return pair[0].astype(np.int64), pair[1].astype(np.int64)


def _triage(diseased: IntArray, others: IntArray, bounds: Sequence[int], prevalence: float | None) -> Triage:
    edges = [len(diseased), *bounds, 0]
    if any(low > high for high, low in pairwise(edges)):
        raise ConfigError(f"bounds {list(bounds)}: expected bins 0..{len(diseased)}, highest first.")
    cuts = [(low, high) for high, low in pairwise(edges)]
    return Triage.counted(
        [int(diseased[low:high].sum()) for low, high in cuts],
        [int(others[low:high].sum()) for low, high in cuts],
        prevalence=prevalence,
    )
