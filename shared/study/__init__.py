"""The Study: what every site signs up to, read from YAML, frozen, unknown keys refused.

Lengths are millimetres, volumes millilitres, times seconds. Spatial triples are in RAS order
(right-left, posterior-anterior, inferior-superior), so the last axis counts axial slices.
"""

from shared.study.fields import Axis, Fraction, Name, Positive, Size, Triple
from shared.study.judging import Evaluation
from shared.study.learning import Model, Privacy, Strategy, Training
from shared.study.priority import (
    NETWORK_FEATURES,
    MapKind,
    Priority,
    Sensitivity,
    Term,
    Tiers,
    Urgent,
    VolumeBound,
)
from shared.study.scans import Intensity, Preprocessing, Requirements, Task
from shared.study.whole import Study

__all__ = [
    "NETWORK_FEATURES",
    "Axis",
    "Evaluation",
    "Fraction",
    "Intensity",
    "MapKind",
    "Model",
    "Name",
    "Positive",
    "Preprocessing",
    "Priority",
    "Privacy",
    "Requirements",
    "Sensitivity",
    "Size",
    "Strategy",
    "Study",
    "Task",
    "Term",
    "Tiers",
    "Training",
    "Triple",
    "Urgent",
    "VolumeBound",
]
