"""Scans as their histograms, without a file: for tests of what is summed and concluded."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from shared.histograms import apportioned
from shared.statistics import (
    FINDINGS,
    INTENSITY,
    OF_LABELLED_VOXELS,
    SHAPE,
    SIDE_MM,
    SPACING_MM,
    VOLUME_ML,
    Scan,
)
from shared.study import Study

STUDY = Study.parse(
    {
        "name": "sample",
        "task": {"classes": ["tumour"]},
        "model": {"channels": [4, 8, 16]},
    },
    "sample study",
)


def scan(
    *,
    values: Sequence[float] = (0.0, 50.0, 100.0),
    labelled_values: Sequence[float] = (100.0,),
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    shape: Sequence[int] = (64, 64, 64),
    sides_mm: Sequence[float] = (10.0,),
    volume_ml: float = 1.0,
    share: float = 0.01,
    label: bool = True,
) -> Scan:
    """One scan of one channel and one class; `sides_mm` are those of its findings."""
    found = len(sides_mm) > 0
    counted = {
        "intensity": apportioned(INTENSITY.count(values))[None],
        "spacing_mm": apportioned([SPACING_MM.count(side) for side in spacing_mm]),
        "shape": apportioned([SHAPE.count(side) for side in shape]),
        OF_LABELLED_VOXELS: apportioned(INTENSITY.count(labelled_values if found else []))[None],
        "volume_ml": apportioned(VOLUME_ML.count(volume_ml if found else 0.0))[None],
        "findings": apportioned(FINDINGS.count(float(len(sides_mm)))),
        "longest_side_mm": apportioned(SIDE_MM.count(sides_mm if found else 0.0)),
        "class_share": apportioned([round(1e9 * (1 - share)), round(1e9 * share)] if found else [1, 0]),
    }
    names = ("intensity", "spacing_mm", "shape")
    return {n: rows if label or n in names else np.zeros_like(rows) for n, rows in counted.items()}


SCANS = st.builds(
    scan,
    values=st.lists(st.integers(-1000, 3000), min_size=1, max_size=5),
    labelled_values=st.lists(st.integers(-1000, 3000), min_size=1, max_size=5),
    spacing_mm=st.tuples(*[st.floats(0.1, 9.0)] * 3),
    shape=st.tuples(*[st.integers(1, 600)] * 3),
    sides_mm=st.lists(st.floats(1.0, 90.0), max_size=4),
    volume_ml=st.floats(0.01, 900.0),
    share=st.floats(0.0, 0.4),
)
PATIENTS = st.lists(st.lists(SCANS, min_size=1, max_size=3), min_size=1, max_size=6)
