"""What a site gains from joining, as far as its own files tell.

Known is how well the final common model outlines this site's own test scans. How well a model of this site
alone would do is known only in a simulation: a deployed site does not train alone.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client.site import Site
from shared.errors import ConfigError
from shared.metrics import Z_95
from shared.study import Study

BIG = 2**28
"""Bytes of a file that is not read for a page."""


@dataclass(frozen=True)
class Score:
    """Mean Dice of `scans` scans; the 95 % interval is None where it cannot be told."""

    dice: float
    scans: int
    low: float | None = None
    high: float | None = None
    patients: int | None = None


@dataclass(frozen=True)
class Gain:
    """The same test scans, outlined by two models; `alone` and `pooled` are known in simulations only."""

    joint: Score
    alone: Score | None = None
    pooled: Score | None = None


def gain(site: Site, study: Study) -> Gain | None:
    """Look up what is known; None before the final model of a run was judged here."""
    joint = joint_score(site, study)
    if joint is None:
        return None
    simulated = _simulated(site, study)
    return Gain(joint, simulated.get("alone"), simulated.get("pooled"))


def joint_score(site: Site, study: Study) -> Score | None:
    """Score the final common model by this site's own test scans; None before it was judged here."""
    path = site.work / "studies" / f"{study.digest()}.scans.json"
    rows = _json(path)
    if not isinstance(rows, list):
        return None
    tested = [
        (str(row["patient"]), sum(row["dice"]) / len(row["dice"]))
        for row in rows
        if row["split"] == "test" and row["dice"] and all(math.isfinite(value) for value in row["dice"])
    ]
    return _mean(tested) if tested else None


def _mean(tested: Sequence[tuple[str, float]]) -> Score:
    """Mean over scans; its interval allows for several scans of one patient (linearised ratio estimator).

    Cochran, Sampling Techniques, 3rd edition, section 9.3.
    """
    mean = sum(dice for _, dice in tested) / len(tested)
    residuals: dict[str, float] = {}
    for patient, dice in tested:
        residuals[patient] = residuals.get(patient, 0.0) + dice - mean
    count = len(residuals)
    if count < 2:
        return Score(mean, len(tested), patients=count)
    spread = math.sqrt(count / (count - 1) * sum(r * r for r in residuals.values())) / len(tested)
    low, high = max(0.0, mean - Z_95 * spread), min(1.0, mean + Z_95 * spread)
    return Score(mean, len(tested), low, high, count)


def _simulated(site: Site, study: Study) -> dict[str, Score]:
    """Read what a simulation around this site found; empty for a deployed site."""
    results = _json(site.work.resolve().parent.parent / "results.json")
    if not isinstance(results, dict):
        return {}
    try:
        if Study.parse(results["study"], "results.json").digest() != study.digest():
            return {}
        judged = results["evaluation"]
        found = {
            "alone": judged["local_only"].get(site.name, {}).get("own"),
            "pooled": ((judged.get("pooled_training") or {}).get("sites") or {}).get(site.name),
        }
        return {
            name: Score(float(one["dice"]), int(one["scans"]))
            for name, one in found.items()
            if one and one["dice"] is not None
        }
    except (ConfigError, KeyError, TypeError, AttributeError):  # of another version: nothing is known then
        return {}


def _json(path: Path) -> object:
    try:
        if path.stat().st_size > BIG:
            return None
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
