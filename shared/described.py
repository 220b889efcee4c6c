"""Figures from the summed statistics: quantiles with their bins, shares, what is suggested for the study."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from shared.config import Config
from shared.histograms import WHOLE, Bins, Quantile
from shared.statistics import (
    AXES,
    FINDINGS,
    INTENSITY,
    OF_LABELLED_VOXELS,
    SHAPE,
    SIDE_MM,
    SPACING_MM,
    VOLUME_ML,
)
from shared.study import Fraction, Task
from shared.sums import IntArray, Sums

PERCENTS = (0.5, 5, 10, 25, 50, 75, 90, 95, 99.5)
BACKGROUND = "background"

Quantiles = dict[str, Quantile]
"""By percent, as text: "0.5", "5", ... "99.5"."""


class Volume(Config):
    """Of one class: the share of patients without it, and how much the others have."""

    share_without: Fraction
    volume_ml: Quantiles


class Labelled(Config):
    """What is known from label volumes; patients count the same, findings share their patient's count."""

    tumour_free: int = Field(ge=0, description="patients whose labels hold no finding")
    share_tumour_free: Fraction
    volumes: dict[str, Volume] = Field(description="by class")
    findings: dict[str, int] = Field(description="connected findings of a scan, by percent; 20 is 20 or more")
    longest_side_mm: Quantiles = Field(description="of the box around a finding; scans without left out")
    class_share: dict[str, Fraction] = Field(description="of a scan's voxels, background included")
    intensity: dict[str, Quantiles] = Field(description="of labelled voxels, as stored, by channel")


class Figures(Config):
    """All sites together. `labelled` is None where no site has label volumes."""

    patients: int = Field(ge=0)
    intensity: dict[str, Quantiles] = Field(description="of foreground voxels, as stored, by channel")
    spacing_mm: dict[str, Quantiles] = Field(description="by axis: x right, y anterior, z superior")
    shape: dict[str, Quantiles] = Field(description="voxels, by axis")
    labelled_patients: int = Field(ge=0)
    labelled: Labelled | None


def finish_statistics(sums: Sums, task: Task) -> Figures:
    """Figures of all summed patients, at least one; equal for equal sums, however sites were grouped."""
    labelled = int(sums["labelled"])
    return Figures(
        patients=int(sums["patients"]),
        intensity=_by_name(task.channels, INTENSITY, sums["intensity"]),
        spacing_mm=_by_name(AXES, SPACING_MM, sums["spacing_mm"]),
        shape=_by_name(AXES, SHAPE, sums["shape"]),
        labelled_patients=labelled,
        labelled=_of_labels(sums, task, labelled) if labelled else None,
    )


def _of_labels(sums: Sums, task: Task, labelled: int) -> Labelled:
    volumes = zip(task.classes, sums["volume_ml"], strict=True)
    names = (BACKGROUND, *task.classes)
    findings = _quantiles(FINDINGS, sums["findings"])
    return Labelled(
        tumour_free=int(sums["tumour_free"]),
        share_tumour_free=int(sums["tumour_free"]) / labelled,
        volumes={
            name: Volume(
                share_without=int(counts[0]) / (labelled * WHOLE), volume_ml=_quantiles(VOLUME_ML, counts)
            )
            for name, counts in volumes
        },
        findings={percent: round((found.low + found.high) / 2) for percent, found in findings.items()},
        longest_side_mm=_quantiles(SIDE_MM, sums["longest_side_mm"]),
        class_share={
            name: int(counts) / (labelled * WHOLE)
            for name, counts in zip(names, sums["class_share"], strict=True)
        },
        intensity=_by_name(task.channels, INTENSITY, sums[OF_LABELLED_VOXELS]),
    )


def _by_name(names: Sequence[str], bins: Bins, rows: IntArray) -> dict[str, Quantiles]:
    return {name: _quantiles(bins, row) for name, row in zip(names, rows, strict=True)}


def _quantiles(bins: Bins, counts: IntArray) -> Quantiles:
    """Quantiles of what was measured; empty where nothing was."""
    found = {f"{percent:g}": bins.quantile(np.asarray(counts), percent / 100) for percent in PERCENTS}
    return {percent: quantile for percent, quantile in found.items() if quantile is not None}
