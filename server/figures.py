"""The report's pictures: learning curves, models compared, reliability, coefficients.

Each function takes results and returns inline SVG (`server.svg`). Lines and points are labelled where they
stand; what needs a legend has it in the page, in the same colour variables.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator

from server.priority_figures import Coefficient
from server.results import Comparison, Pooled, Round
from server.scores import ReliabilityFigures
from server.svg import COLOURS, SITE_COLOURS, grid, inline_svg
from shared.calibration import INTERCEPT, is_intercept
from shared.metrics import Z_95, wilson_interval

WIDTH_PT = 760
_MOST_COLOURED_SITES = 8  # beyond it, lines of one colour each are no longer told apart
_ROW_PT = 32
_AXIS_PT = 40

_FEDERATED: dict[str, Any] = {"marker": "o", "markersize": 11, "color": COLOURS["blue"], "zorder": 5}
_ALONE: dict[str, Any] = {"marker": "o", "markersize": 8, "color": COLOURS["orange"], "zorder": 3}
_ALONE_ELSEWHERE: dict[str, Any] = {
    **_ALONE,
    "markersize": 6,
    "markerfacecolor": COLOURS["paper"],
    "zorder": 2,
}
_POOLED_TRAINING: dict[str, Any] = {
    "marker": "D",
    "markersize": 8,
    "markerfacecolor": COLOURS["paper"],
    "color": COLOURS["green"],
    "markeredgewidth": 2,
    "zorder": 4,
}


def learning_curves(rounds: Sequence[Round]) -> Markup:
    """Draw validation Dice by round, thin for each site, bold for all sites; needs an evaluated round."""
    judged = [(r.round, r.validation) for r in rounds if r.validation is not None]
    numbers = [number for number, _ in judged]
    sites = sorted({site for _, validation in judged for site in validation.sites})
    coloured = len(sites) <= _MOST_COLOURED_SITES

    def paint(figure: Figure) -> None:
        axes = figure.add_axes((0.062, 0.15, 0.775, 0.81))
        ends: list[tuple[float, str]] = []
        for k, site in enumerate(sites):
            dice = [_dice(v, site) for _, v in judged]
            colour = COLOURS[SITE_COLOURS[k % len(SITE_COLOURS)] if coloured else "rule"]
            dash = "-" if k < len(SITE_COLOURS) or not coloured else (0, (4, 3))
            axes.plot(numbers, dice, color=colour, linestyle=dash, linewidth=1.8, marker="o", markersize=4)
            if coloured:
                ends.append((dice[-1], _short(site)))
        dice = [_dice(v, None) for _, v in judged]
        axes.plot(numbers, dice, color=COLOURS["blue"], linewidth=3.5, marker="o", markersize=7, zorder=3)
        ends.append((dice[-1], "all sites"))
        axes.set(xlabel="round", ylabel="Dice, validation scans")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlim(min(numbers) - 0.15, max(numbers) + 0.15)
        axes.set_ylim(_floor(_dice(v, site) for _, v in judged for site in [None, *sites]), 1.0)
        axes.yaxis.set_major_locator(MultipleLocator(0.1 if axes.get_ylim()[0] >= 0.4 else 0.2))
        grid(axes, "y")
        _label_ends(axes, max(numbers), ends)

    title = "Dice on validation scans by round, for each site and for all sites together"
    return inline_svg(paint, width_pt=WIDTH_PT, height_pt=300, title=title)


def runs_compared(runs: Mapping[str, Sequence[Round]]) -> Markup:
    """Draw validation Dice of all sites together by round, a line a run; each needs an evaluated round."""
    judged = {
        name: [(r.round, r.validation) for r in rounds if r.validation is not None]
        for name, rounds in runs.items()
    }
    numbers = [number for rounds in judged.values() for number, _ in rounds]

    def paint(figure: Figure) -> None:
        axes = figure.add_axes((0.062, 0.15, 0.705, 0.81))
        last = max(numbers)
        axes.set(xlabel="round", ylabel="Dice, validation scans, all sites")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlim(min(numbers) - 0.15, last + 0.15)
        axes.set_ylim(_floor(_dice(v, None) for rounds in judged.values() for _, v in rounds), 1.0)
        axes.yaxis.set_major_locator(MultipleLocator(0.1 if axes.get_ylim()[0] >= 0.4 else 0.2))
        grid(axes, "y")
        ends = []
        for (name, rounds), colour in zip(judged.items(), ("blue", "vermilion", "green"), strict=False):
            dice = [_dice(v, None) for _, v in rounds]
            axes.plot(
                [k for k, _ in rounds], dice, color=COLOURS[colour], linewidth=2.5, marker="o", markersize=6
            )
            ends.append((dice[-1], _short(name)))
        _label_ends(axes, last, ends)

    title = "Dice on validation scans of all sites together by round, for each run"
    return inline_svg(paint, width_pt=WIDTH_PT, height_pt=300, title=title)


def models_compared(comparison: Comparison) -> Markup:
    """Test Dice of every model on all test scans and on each site's own; needs at least one model."""
    judged = [m for m in (comparison.federated, comparison.pooled_training) if m is not None]
    models: list[Pooled] = [*judged, *comparison.local_only.values()]
    rows = [None, *sorted({site for model in models for site in model.sites})]
    height_pt = len(rows) * _ROW_PT + _AXIS_PT

    def paint(figure: Figure) -> None:
        axes = figure.add_axes((0.22, _AXIS_PT / height_pt, 0.64, 1 - _AXIS_PT / height_pt))
        for y, row in enumerate(rows):
            known = [d for d in (_dice(model, row) for model in models) if not math.isnan(d)]
            if known:
                axes.plot([min(known), max(known)], [y, y], color=COLOURS["rule"], linewidth=2.5, zorder=1)
            for site, model in comparison.local_only.items():
                axes.plot(_dice(model, row), y, **_ALONE if row in {None, site} else _ALONE_ELSEWHERE)
            if comparison.pooled_training is not None:
                axes.plot(_dice(comparison.pooled_training, row), y, **_POOLED_TRAINING)
            if comparison.federated is not None:
                axes.plot(_dice(comparison.federated, row), y, **_FEDERATED)
            axes.text(1.03, y, _gain(comparison, row), **_beside(axes))
        _name_rows(axes, [f"{_short(row or 'all sites')} (n = {_scans(models, row)})" for row in rows])
        axes.get_yticklabels()[0].set_fontweight("bold")
        axes.set_xlim(_floor(_dice(model, row) for model in models for row in rows), 1.0)
        axes.xaxis.set_major_locator(MultipleLocator(0.1))
        axes.set_xlabel("Dice on test scans")
        grid(axes, "x")

    title = "Dice on test scans of the federated model, of models trained alone and of pooled training"
    return inline_svg(paint, width_pt=WIDTH_PT, height_pt=height_pt, title=title)


def reliability(before: ReliabilityFigures, after: ReliabilityFigures) -> Markup:
    """Observed against predicted share of urgent patients with 95 % intervals, and patients per bin."""

    def paint(figure: Figure) -> None:
        most = max(b.n for figures in (before, after) for b in figures.bins)
        pairs = (("before calibration", before, "orange"), ("after calibration", after, "blue"))
        for column, (name, figures, colour) in enumerate(pairs):
            left = 0.068 + 0.505 * column
            curve = figure.add_axes((left, 0.37, 0.405, 0.53))
            curve.plot([0, 1], [0, 1], color=COLOURS["muted"], linewidth=1, linestyle=(0, (2, 3)))
            for b in figures.bins:
                if b.n and b.mean_probability is not None and b.observed is not None:
                    interval = wilson_interval(round(b.observed * b.n), b.n) or []
                    curve.plot(
                        [b.mean_probability] * 2, interval, color=COLOURS[colour], linewidth=2, alpha=0.45
                    )
                    curve.plot(b.mean_probability, b.observed, "o", color=COLOURS[colour], markersize=8)
            curve.set(
                xlim=(0, 1),
                ylim=(-0.02, 1.02),
                xticks=[0, 0.25, 0.5, 0.75, 1],
                yticks=[0, 0.25, 0.5, 0.75, 1],
            )
            curve.tick_params(labelbottom=False)
            curve.set_title(name, pad=14)
            if column == 0:
                curve.set_ylabel("observed urgent")
            grid(curve, "both")
            _patients_per_bin(figure.add_axes((left, 0.145, 0.405, 0.17)), figures, most, colour)

    title = "Reliability before and after calibration, with patients per bin"
    return inline_svg(paint, width_pt=WIDTH_PT, height_pt=380, title=title)


def coefficients(fitted: Mapping[str, Coefficient]) -> Markup:
    """Each coefficient with its 95 % interval in log-odds, and the known truth where data were simulated."""
    height_pt = len(fitted) * _ROW_PT + _AXIS_PT

    def paint(figure: Figure) -> None:
        axes = figure.add_axes((0.2, _AXIS_PT / height_pt, 0.54, 1 - _AXIS_PT / height_pt))
        axes.axvline(0, color=COLOURS["muted"], linewidth=1)
        for y, c in enumerate(fitted.values()):
            if c.standard_error is not None:
                half = Z_95 * c.standard_error
                axes.plot(
                    [c.estimate - half, c.estimate + half], [y, y], color=COLOURS["blue"], linewidth=2.5
                )
            axes.plot(c.estimate, y, "o", color=COLOURS["blue"], markersize=9)
            spread = "" if c.standard_error is None else f" ± {Z_95 * c.standard_error:.2f}"
            axes.text(1.03, y, f"{c.estimate:+.2f}{spread}", **_beside(axes))
            if c.truth is not None:
                axes.plot(c.truth, y, "|", color=COLOURS["vermilion"], markersize=17, markeredgewidth=3)
                axes.text(1.28, y, f"truth {c.truth:+.2f}", color=COLOURS["muted"], **_beside(axes))
        _name_rows(axes, [_short(name.replace("_", " ")) for name in fitted])
        axes.set_xlabel("log-odds of being urgent, per unit of the term")
        grid(axes, "x")

    title = "Coefficients of the priority score with 95 % intervals"
    return inline_svg(paint, width_pt=WIDTH_PT, height_pt=height_pt, title=title)


def _patients_per_bin(axes: Axes, figures: ReliabilityFigures, most: int, colour: str) -> None:
    for b in figures.bins:
        middle, width = (b.lower + b.upper) / 2, (b.upper - b.lower) * 0.86
        axes.bar(middle, b.n, width=width, color=COLOURS[colour], alpha=0.55)
        if b.n and len(figures.bins) <= 12:
            axes.text(middle, b.n + 0.04 * most, str(b.n), ha="center", color=COLOURS["muted"], fontsize=9.5)
    axes.set(xlim=(0, 1), ylim=(0, 1.25 * max(1, most)), xticks=[0, 0.25, 0.5, 0.75, 1], yticks=[])
    axes.set_xlabel("predicted probability of urgent")
    axes.tick_params(length=0)


def _label_ends(axes: Axes, x: float, ends: Sequence[tuple[float, str]]) -> None:
    """Name lines at their right ends, moved apart as far as the letters need."""
    low, high = axes.get_ylim()
    named = sorted((value, text) for value, text in ends if not math.isnan(value))
    heights = _apart([value for value, _ in named], gap=0.062 * (high - low), low=low, high=high)
    offset = 0.012 * (axes.get_xlim()[1] - axes.get_xlim()[0])
    for (value, text), y in zip(named, heights, strict=True):
        ends_at = [x + offset, x + 2.2 * offset]
        axes.plot(ends_at, [value, y], color=COLOURS["rule"], linewidth=1, clip_on=False)
        weight = "bold" if text == "all sites" else "normal"
        axes.text(
            x + 2.8 * offset,
            y,
            f"{text}  {value:.2f}",
            va="center_baseline",
            fontweight=weight,
            clip_on=False,
        )


def _apart(values: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Ascending `values` moved to be `gap` apart, inside low..high while there is room."""
    moved: list[float] = []
    for value in values:
        moved.append(max(value, moved[-1] + gap) if moved else max(value, low))
    ceiling = high
    for k in reversed(range(len(moved))):
        moved[k] = min(moved[k], ceiling)
        ceiling = moved[k] - gap
    return moved


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Write one name a row, from the top, along the left edge of the figure."""
    axes.set_yticks(range(len(names)), names, ha="left")
    axes.tick_params(axis="y", pad=axes.get_position().x0 * WIDTH_PT - 7)
    axes.set_ylim(len(names) - 0.5, -0.5)


def _beside(axes: Axes) -> dict[str, Any]:
    """How to write right of the axes: x from 1, in widths of them, y in rows."""
    return {"transform": axes.get_yaxis_transform(), "va": "center_baseline"}


def _gain(comparison: Comparison, row: str | None) -> str:
    """Return the federated Dice and, where known, how far it is above the (best) model trained alone."""
    if comparison.federated is None or math.isnan(together := _dice(comparison.federated, row)):
        return ""
    rivals = [_dice(m, row) for site, m in comparison.local_only.items() if row in {None, site}]
    rivals = [dice for dice in rivals if not math.isnan(dice)]
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    return f"{together:.2f}  ({round(together - max(rivals), 2) + 0.0:+.2f})" if rivals else f"{together:.2f}"


def _dice(model: Pooled, site: str | None) -> float:
    """Dice at `site`, or on all sites' scans together; NaN, which is not drawn, where undefined."""
    figures = model.pooled if site is None else model.sites.get(site)
    return math.nan if figures is None or figures.dice is None else figures.dice


def _scans(models: Sequence[Pooled], site: str | None) -> int:
    return max(
        m.pooled.scans if site is None else m.sites[site].scans for m in models if site in {None, *m.sites}
    )


def _floor(values: Iterable[float]) -> float:
    """Return the tenth below all values, so that an axis shows differences and still ends on a grid line."""
    known = [value for value in values if not math.isnan(value)]
    return max(0.0, math.floor(10 * min(known) - 0.2) / 10) if known else 0.0


def _short(name: str) -> str:
    """Fit a name into the left margin; a site's own intercept is called by the site."""
    if is_intercept(name) and name != INTERCEPT:
        name = f"at {name.removeprefix(f'{INTERCEPT}[').removesuffix(']')}"
    return name if len(name) <= 20 else f"{name[:19]}…"
