"""A scored scan as the pages and pictures show it."""

import math
from datetime import UTC, datetime
from typing import Any

from scipy.special import expit

from client.result import Finding, PriorityFound, Reason, Result, Versions

SHAPE = (40, 32, 12)


def finding(number: int = 1, **changes: Any) -> Finding:
    values: dict[str, Any] = {
        "number": number,
        "name": "tumour",
        "voxels": 120,
        "volume_ml": 8.34,
        "diameter_mm": 31.2,
        "short_axis_mm": 22.0,
        "diameter_slice": 41,
        "diameter_ends_mm": ((0.0, 0.0, 0.0), (20.0, 0.0, 0.0)),
        "centroid_mm": (31.0, 12.0, -40.0),
        "side": "right",
        "first_slice": 38,
        "last_slice": 45,
        "mean_probability": 0.91,
        "highest_probability": 0.99,
        "touches_border": False,
        "uncertainty": 0.12,
    }
    return Finding(**{**values, **changes})


def reason(label: str, text: str, contribution: float) -> Reason:
    return Reason(feature=label, label=label, value=1.0, unit="", contribution=contribution, text=text)


def priority(**changes: Any) -> PriorityFound:
    reasons = (
        reason("largest finding", "largest finding 31.2 mm: +1.43", 1.4312),
        reason("prior cancer", "prior cancer yes: +0.80", 0.8017),
        reason("age", "age 44 years: -0.31", -0.3129),
        reason("symptom score", "symptom score not recorded: +0.00", 0.0),
    )
    log_odds = math.fsum([-1.4, 0.0333, *(r.contribution for r in reasons)])
    values: dict[str, Any] = {
        "probability": float(expit(log_odds)),
        "low": 0.48,
        "high": 0.76,
        "log_odds": log_odds,
        "tier": "asap",
        "intercept": -1.4,
        "calibration": 0.0333,
        "reasons": reasons,
        "missing": ("symptom score",),
        "changes": (
            "stat if largest finding were 47 mm or more (now 31.2 mm)",
            "urgent if prior cancer were no (now yes)",
            "symptom score is not recorded: with it, asap to stat",
        ),
    }
    return PriorityFound(**{**values, **changes})


def result(**changes: Any) -> Result:
    values: dict[str, Any] = {
        "case": "scan-0007",
        "patient": "patient-0007",
        "source_digest": "5" * 64,
        "versions": Versions(
            wardround="0.1.0",
            study="liver",
            study_digest="a" * 64,
            weights_digest="b" * 64,
            calibration_digest="c" * 64,
        ),
        "made": datetime(2026, 11, 23, 18, 41, tzinfo=UTC),
        "findings": (
            finding(),
            finding(2, volume_ml=0.4, diameter_mm=9.5, short_axis_mm=8, uncertainty=None),
        ),
        "sum_of_diameters_mm": 31.2,
        "uncertainty": 0.08,
        "features": {"largest_diameter_mm": 31.2},
        "priority": priority(),
        "seconds": {"read": 0.6, "network": 4.25},
    }
    return Result(**{**values, **changes})
