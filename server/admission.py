"""Checks one site's update before it may touch the model: admitted, or refused with a reason."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from shared.study import Privacy
from shared.wire import Record

EPSILON_SLACK = 1e-6  # accountants round


@dataclass(frozen=True)
class Accepted:
    """An update that may be added, over so many patients."""

    patients: int


@dataclass(frozen=True)
class Refused:
    """An update that was not used, and the reason as a short code."""

    reason: str


def admit(
    record: Record,
    *,
    site: str,
    run: str,
    round_number: int,
    weights: Mapping[str, np.ndarray],
    enrolled_patients: int,
    max_norm: float,
    privacy: Privacy | None = None,
) -> Accepted | Refused:
    """Judge an ``update`` record of `run`; under `privacy` the epsilon it claims must lie within the study's.

    The comparisons are written so that NaN fails them: `x <= limit` is false for NaN, `x > limit` would let
    it pass.
    """
    if record.kind != "update":
        return Refused(f"kind.{record.kind}")
    arrays, patients = record.arrays, record.integer("patients")
    checks: tuple[tuple[str, Callable[[], bool]], ...] = (  # in this order: each relies on those before
        ("site", lambda: record.fields["site"] == site),
        ("run", lambda: record.fields["run"] == run),
        ("round", lambda: record.fields["round"] == round_number),
        ("patients", lambda: 0 < patients <= enrolled_patients),
        ("epsilon", lambda: privacy is None or _within(float(record.fields["epsilon"]), privacy)),
        ("names", lambda: set(arrays) == set(weights)),
        ("shapes", lambda: all(arrays[n].shape == w.shape for n, w in weights.items())),
        ("types", lambda: all(a.dtype == np.float32 for a in arrays.values())),
        ("not_finite", lambda: all(bool(np.isfinite(a).all()) for a in arrays.values())),
        ("norm", lambda: _norm(arrays) <= max_norm),
    )
    reason = next((reason for reason, holds in checks if not holds()), None)
    return Accepted(patients) if reason is None else Refused(reason)


def _within(epsilon: float, privacy: Privacy) -> bool:
    return 0 <= epsilon <= privacy.epsilon * (1 + EPSILON_SLACK)


def _norm(arrays: Mapping[str, np.ndarray]) -> float:
    return math.sqrt(sum(float(np.square(a, dtype=np.float64).sum()) for a in arrays.values()))
