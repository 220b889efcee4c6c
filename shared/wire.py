"""Every record that crosses between a hospital and the coordinator.

A record has a kind, scalar fields and named arrays; the table `RECORDS` below is the whole vocabulary.
Rules for changing it: never change the meaning or the unit of a name; add a new name and raise
WIRE_VERSION; a site refuses a version it does not know. Arrays are float32 weights, float64 sums or
int64 counts, never objects. What a site releases is always a sum or a mean over its patients.

A message carries one or more instructions, its reply one answer to each of them, in the same order.
How they lie in it is in shared/packing.py.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from shared.errors import WireError

WIRE_VERSION = 6

NO_ARRAYS = "none"
Scalar = bool | int | float | str
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Spec:
    """What one kind of record holds; `leaves_site` ones are the only answers a site can give."""

    meaning: str
    fields: Mapping[str, type]
    arrays: str
    leaves_site: bool


RECORDS: Mapping[str, Spec] = {
    # coordinator -> site
    "enrol": Spec("join this run under this study", {"run": str, "study": str}, NO_ARRAYS, False),
    "train": Spec(
        "train from these weights", {"run": str, "study_digest": str, "round": int}, "weights", False
    ),
    "evaluate": Spec(
        "score these weights; final also keeps each scan's features at the site",
        {"study_digest": str, "round": int, "split": str, "final": bool},
        "weights",
        False,
    ),
    "newton": Spec(
        "derivatives of the priority fits at these coefficients: fit j leaves out fold j, the last nobody",
        {"study_digest": str, "split": str},
        "coefficients (fits, d) float64",
        False,
    ),
    "newton_map": Spec(
        "derivatives of the fits of maps, on log-odds out of fold that went through `calibration`",
        {"study_digest": str, "split": str, "calibration": str},
        "scores (fits, d), coefficients (fits of maps, 4) float64",
        False,
    ),
    "held_out": Spec(
        "log loss of each of these maps, JSON by fold and kind, on the fold that they did not see",
        {"study_digest": str, "split": str, "maps": str},
        "scores (fits, d) float64",
        False,
    ),
    "histograms": Spec(
        "counts of log-odds out of fold that went through `calibration`, by outcome",
        {"study_digest": str, "split": str, "calibration": str},
        "scores (fits, d) float64",
        False,
    ),
    "reliability": Spec(
        "bins of probability against outcome, of the network's own (calibrated false) or of the score's",
        {"study_digest": str, "split": str, "calibrated": bool, "calibration": str},
        "coefficients (d,) float64",
        False,
    ),
    "voxels": Spec(
        "counts of voxels by log-odds and truth, of the final model that `evaluate` scored",
        {"study_digest": str, "split": str},
        NO_ARRAYS,
        False,
    ),
    "finish": Spec(
        "final model, calibration and the probability map's temperature; write worklist and reports at the "
        "site",
        {"study_digest": str, "calibration": str, "temperature": str},
        "weights",
        False,
    ),
    "describe": Spec(
        "sum what the study's window, spacing and patch size are chosen from",
        {"study_digest": str},
        NO_ARRAYS,
        False,
    ),
    # site -> coordinator
    "enrolment": Spec(
        "patients per split, skipped cases counted by reason, how many history columns of the study the site "
        "lacks; no case is named",
        {
            "site": str,
            "study_digest": str,
            "wardround": str,
            "train": int,
            "validation": int,
            "test": int,
            "skipped": str,
            "patient_unit": str,
            "history_lacking": int,
        },
        NO_ARRAYS,
        True,
    ),
    "update": Spec(
        "weight change after local training, over how many patients, the epsilon spent (-1: none claimed)",
        {
            "site": str,
            "run": str,
            "round": int,
            "patients": int,
            "loss": float,
            "epsilon": float,
            "delta": float,
        },
        "weight deltas, float32, names and shapes of the model",
        True,
    ),
    "segmentation": Spec(
        "sums of Dice, voxel and detection counts, score histograms over a split",
        {"site": str, "round": int, "patients": int},
        "shared.metrics.segmentation_shapes",
        True,
    ),
    "derivatives": Spec(
        "summed gradient and Hessian of the priority fits or of their maps; how many patients are in a fold",
        {"site": str, "patients": int, "judged": int},
        "shared.calibration.logistic_shapes",
        True,
    ),
    "held_out_losses": Spec(
        "log loss of each calibration map, summed over patients that it has not seen",
        {"site": str, "patients": int},
        "shared.choosing.held_out_shapes",
        True,
    ),
    "score_histograms": Spec(
        "how many urgent and how many other patients have log-odds in each bin; `patients` of the rarer sort",
        {"site": str, "patients": int},
        "shared.isotonic.count_shapes",
        True,
    ),
    "reliability_bins": Spec(
        "patients, summed probability and summed outcome per probability bin",
        {"site": str, "patients": int},
        "shared.calibration.reliability_shapes",
        True,
    ),
    "voxel_counts": Spec(
        "voxels of findings and others by log-odds, a million a patient; `patients` of the rarer sort",
        {"site": str, "patients": int},
        "shared.voxel_temperature.voxel_shapes",
        True,
    ),
    "finished": Spec(
        "the site has written its worklist and reports; how many scans they list",
        {"site": str, "patients": int, "seismometer": str},
        NO_ARRAYS,
        True,
    ),
    "statistics": Spec(
        "histograms of intensities, spacing, sizes and labels over the training patients, who count the "
        "same; how many cases could not be read",
        {"site": str, "patients": int, "unread": int},
        "shared.statistics.statistics_shapes",
        True,
    ),
    "failure": Spec(
        "something failed or was refused at the site: a code and a count, never a text",
        {"site": str, "code": str, "cases": int},
        NO_ARRAYS,
        True,
    ),
    # site -> control service of the coordinator
    "membership": Spec(
        "this site asks to become a member, under this public key",
        {"site": str, "public_key": str, "version": str},
        NO_ARRAYS,
        True,
    ),
    "greeting": Spec(
        "this site is there: its version, its clock, how long its audit log is and how it ends",
        {"site": str, "version": str, "clock": float, "audit_lines": int, "audit_seal": str},
        NO_ARRAYS,
        True,
    ),
}


@dataclass(frozen=True)
class Record:
    """One thing that crosses; constructing it checks kind, field names and types, and array types."""

    kind: str
    fields: Mapping[str, Scalar]
    arrays: Arrays = field(default_factory=dict)

    def __post_init__(self) -> None:
        spec = RECORDS.get(self.kind)
        if spec is None:
            raise WireError(f"unknown record kind {self.kind!r}; expected one of {sorted(RECORDS)}")
        if set(self.fields) != set(spec.fields):
            raise WireError(f"{self.kind} has fields {sorted(self.fields)}, expected {sorted(spec.fields)}")
        for name, kind in spec.fields.items():
            if type(self.fields[name]) is not kind:
                found = type(self.fields[name]).__name__
                raise WireError(f"{self.kind}.{name} is {found}, expected {kind.__name__}")
        if spec.arrays == NO_ARRAYS and self.arrays:
            raise WireError(f"{self.kind} carries arrays {sorted(self.arrays)}, expected none")
        for name, array in self.arrays.items():
            if array.dtype.kind not in "fi":
                raise WireError(f"{self.kind} array {name} is {array.dtype}, expected floats or integers")

    def text(self, name: str) -> str:
        """Read a field declared as text."""
        return str(self.fields[name])

    def integer(self, name: str) -> int:
        """Read a field declared as an integer."""
        return int(self.fields[name])

    @property
    def size_bytes(self) -> int:
        """Payload in bytes: arrays plus the fields as JSON."""
        return sum(a.nbytes for a in self.arrays.values()) + len(json.dumps(dict(self.fields)))
