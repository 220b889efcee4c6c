"""What the order would save, in the run's report: minutes along the ROC curve, from pooled histograms alone.

Nothing here is known of a hospital's reading room. The figures hold for the one stated in `ASSUMED`; a
hospital puts in its own with `wardround site waiting`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import expit, logit

from server.figures import WIDTH_PT
from server.priority_figures import Calibration
from server.svg import COLOURS, grid, inline_svg
from shared.queueing.classes import Reading
from shared.queueing.expected import Expected, expected
from shared.queueing.roc import Curve, Point, along, tiered

ASSUMED = Reading(readers=1, utilisation=0.8, diseased_minutes=10.0, other_minutes=10.0)
"""One reader, four fifths of the time reading, ten minutes a scan; a reading that was begun is finished."""


@dataclass(frozen=True)
class Waiting:
    """Waits along the ROC curve of so many diseased and other patients.

    `threshold` is the probability above which scans come first at the curve's best point, where bins say it.
    `tiers` are the mean waits under the tiers that the study has, where it has some.
    """

    diseased: int
    others: int
    curve: Curve
    reading: Reading
    threshold: float | None = None
    tiers: Expected | None = None

    @property
    def figure(self) -> Markup:
        """The picture of it."""
        return minutes_along_roc(self.curve)


def waiting(
    diseased: npt.ArrayLike,
    others: npt.ArrayLike,
    reading: Reading = ASSUMED,
    *,
    lower_log_odds: Sequence[float] = (),
    bounds: Sequence[int] = (),
) -> Waiting | None:
    """Make the section of histograms (B,) and (B,) of the same bins, lowest score first.

    None without patients of one kind: then there is no ROC curve. Raises as `along`.

    Parameters
    ----------
    lower_log_odds
        Lower edge of each bin (B,).
    bounds
        First bin of each tier but the lowest, highest first.
    """
    counts = int(np.sum(diseased)), int(np.sum(others))
    if not all(counts):
        return None
    curve = along(diseased, others, reading)
    best = curve.best.bin
    return Waiting(
        *counts,
        curve=curve,
        reading=reading,
        threshold=float(expit(lower_log_odds[best])) if best < len(lower_log_odds) else None,
        tiers=expected(tiered(diseased, others, bounds), reading) if bounds else None,
    )


def waiting_of(calibration: Calibration | None) -> Waiting | None:
    """Make the section of a run; None where its sites released no counts of scores."""
    if calibration is None or calibration.scores is None:
        return None
    scores = calibration.scores
    bounds = logit([calibration.thresholds[tier] for tier in ("stat", "asap", "urgent")])
    return waiting(
        scores.positives,
        scores.negatives,
        lower_log_odds=[-np.inf, *scores.edges],
        bounds=np.searchsorted(scores.edges, bounds, side="right").tolist(),
    )


def minutes_along_roc(curve: Curve) -> Markup:
    """Draw minutes saved for the diseased, and minutes that the others and the missed wait longer."""

    def saved(point: Point) -> float | None:
        return point.diseased

    def longer(point: Point) -> float | None:
        return point.others

    def missed(point: Point) -> float | None:
        return point.missed

    def paint(figure: Figure) -> None:
        left, right = (figure.add_axes((0.068 + 0.505 * k, 0.15, 0.405, 0.72)) for k in range(2))
        _line(left, curve, saved, "blue")
        _line(right, curve, missed, "vermilion")
        _line(right, curve, longer, "orange")
        left.set_title("urgent patients: minutes saved", pad=14)
        right.set_title("others and missed patients: minutes longer", pad=14)
        for axes in (left, right):
            axes.set(
                xlim=(0, 1), xticks=[0, 0.25, 0.5, 0.75, 1], xlabel="others who come first (1 - specificity)"
            )
            axes.set_ylim(bottom=0)
            grid(axes, "both")

    title = "Minutes that urgent patients wait less, and others and missed patients longer, along the ROC"
    return inline_svg(paint, width_pt=WIDTH_PT, height_pt=300, title=title)


def _line(axes: Axes, curve: Curve, minutes: Callable[[Point], float | None], colour: str) -> None:
    drawn = [(1 - p.specificity, m) for p in curve.points if (m := minutes(p)) is not None]
    axes.plot(*zip(*drawn, strict=True), color=COLOURS[colour], linewidth=2.5)
    if (there := minutes(curve.best)) is not None:
        x = 1 - curve.best.specificity
        axes.plot(x, there, "o", color=COLOURS[colour], markersize=9)
        axes.annotate(f"{there:.1f}", (x, there), xytext=(-9, 6), textcoords="offset points", ha="right")
