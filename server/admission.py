"""Checks one site's update before it may touch the model: admitted, or refused with a reason."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from shared.wire import Record


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
    round_number: int,
    weights: Mapping[str, np.ndarray],
    enrolled_patients: int,
    max_norm: float,
) -> Accepted | Refused:
    """Judge an ``update`` record.

    The comparisons are written so that NaN fails them: `x <= limit` is false for NaN, `x > limit` would let
    it pass.
    """
    if record.kind != "update":
        return Refused(f"kind.{record.kind}")
    if record.fields["site"] != site:
        return Refused("site")
    if record.fields["round"] != round_number:
        return Refused("round")
    patients = record.integer("patients")
    if not 0 < patients <= enrolled_patients:
        return Refused("patients")
    if set(record.arrays) != set(weights):
        return Refused("names")
    if any(record.arrays[n].shape != w.shape for n, w in weights.items()):
        return Refused("shapes")
    if any(record.arrays[n].dtype != np.float32 for n in weights):
        return Refused("types")
    if not all(np.isfinite(a).all() for a in record.arrays.values()):
        return Refused("not_finite")
    norm = math.sqrt(sum(float(np.square(a, dtype=np.float64).sum()) for a in record.arrays.values()))
    if not norm <= max_norm:
        return Refused("norm")
    return Accepted(patients)
