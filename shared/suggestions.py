"""Values for a study's keys from the figures of its sites, each with its reason in words.

The rules are those of nnU-Net (Isensee et al., Nature Methods 18:203, 2021) where it has one: the percentiles
of a CT's window, the median spacing, and the finer spacing across thick slices.
"""

import math
from collections.abc import Sequence
from typing import Any

from shared.config import Config
from shared.described import Figures, Quantiles
from shared.statistics import AXES
from shared.study import Model

LOWEST_HU, HIGHEST_HU, AIR_HU = -3100.0, 4200.0, -500.0
"""A CT holds little outside the first two (padding of -3024 is seen), and some air below the third."""
THICK = 3.0
"""How much coarser one axis is than the finest before its own 10th percentile is taken."""
LEAST_AT_THE_BOTTOM = 4
"""Voxels along each axis that should be left at the network's lowest level."""
MOST_VOXELS = 128**3
"""Of a training window: 2.5 GB for a batch of two, by what client/readiness.py counts for a voxel."""


class Suggestion(Config):
    """What to write under one key of a study, and why."""

    key: str
    value: Any
    reason: str


def suggestions(figures: Figures, model: Model) -> tuple[Suggestion, ...]:
    """Intensity, spacing and training window, as keys of a study with `model`."""
    spacing = _spacing(figures)
    return (_intensity(figures), spacing, _window(figures, model, spacing.value))


def _intensity(figures: Figures) -> Suggestion:
    key = "preprocessing.intensity"
    inside = figures.labelled.intensity if figures.labelled else {}
    if not all(_looks_like_ct(found) for found in figures.intensity.values()):
        scale = "; ".join(_range(name, found) for name, found in figures.intensity.items())
        reason = f"the foreground is not in Hounsfield units ({scale}), so that each scan needs its own scale"
        return Suggestion(key=key, value={"kind": "zscore"}, reason=reason)
    labelled = [found for found in inside.values() if found]
    what = "labelled voxels" if labelled else "the foreground (nothing is labelled)"
    chosen = labelled or list(figures.intensity.values())
    low = min(10.0 * math.floor(found["0.5"].low / 10) for found in chosen)
    high = max(10.0 * math.ceil(found["99.5"].high / 10) for found in chosen)
    return Suggestion(
        key=key,
        value={"kind": "ct_window", "low_hu": low, "high_hu": high},
        reason=f"the foreground looks like Hounsfield units, and 99 % of {what} lie within",
    )


def _looks_like_ct(found: Quantiles) -> bool:
    low, high = found["0.5"], found["99.5"]
    return low.low >= LOWEST_HU and low.high <= AIR_HU and high.high <= HIGHEST_HU


def _range(name: str, found: Quantiles) -> str:
    return f"{name}: 99 % within {found['0.5'].value:.3g} .. {found['99.5'].value:.3g}"


def _spacing(figures: Figures) -> Suggestion:
    wanted = [figures.spacing_mm[axis]["50"].roundest for axis in AXES]
    reason = "the median of each axis"
    coarsest = max(range(3), key=lambda axis: wanted[axis])
    if wanted[coarsest] > THICK * min(wanted):
        median = wanted[coarsest]
        wanted[coarsest] = figures.spacing_mm[AXES[coarsest]]["10"].roundest
        reason += (
            f"; {AXES[coarsest]} is more than {THICK:g} times as coarse as the finest ({median:g} mm), so "
            "there the 10th percentile"
        )
    return Suggestion(key="preprocessing.spacing_mm", value=wanted, reason=reason)


def _window(figures: Figures, model: Model, spacing_mm: Sequence[float]) -> Suggestion:
    view_mm = [figures.shape[a]["50"].value * figures.spacing_mm[a]["50"].value for a in AXES]
    strides = [model.stride if axis < model.dimensions else 1 for axis in range(3)]
    most = [
        max(round(view / mm / step), 1) * step
        for view, mm, step in zip(view_mm, spacing_mm, strides, strict=True)
    ]
    side = figures.labelled.longest_side_mm.get("95") if figures.labelled else None
    if side is None:
        size, reason = list(most), "no finding is labelled, so the median scan"
    else:
        size = [
            min(max(_up(side.high / mm, step), LEAST_AT_THE_BOTTOM * step), bound)
            for mm, step, bound in zip(spacing_mm, strides, most, strict=True)
        ]
        reason = f"95 % of findings are no longer than {side.high:.3g} mm"
    reason += f", in voxels of the suggested spacing, in multiples of {model.stride}"
    if side is not None:
        reason += f", at least {LEAST_AT_THE_BOTTOM * model.stride} and no larger than the median scan"
    if model.dimensions == 2:
        size[2] = 1
        reason += "; one slice, as the model is 2-D"
    if math.prod(size) > MOST_VOXELS:
        reason += f"; cut down to {MOST_VOXELS:,} voxels, so that it fits into memory"
    while math.prod(size) > MOST_VOXELS:
        longest = max(range(model.dimensions), key=lambda axis: size[axis])
        size[longest] -= strides[longest]
    return Suggestion(key="training.window", value=size, reason=reason)


def _up(voxels: float, step: int) -> int:
    return max(math.ceil(voxels / step - 1e-9), 1) * step
