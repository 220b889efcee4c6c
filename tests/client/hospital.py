"""A hospital of phantoms on disk and the smallest study, for the tests of the hospital's side."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from client.app import app
from client.node import Node
from client.site import Site
from shared.packing import ARRAYS, KIND, VERSION, pack
from shared.priority import CalibratedPriority
from shared.study import Study, Tiers
from shared.voxel_temperature import VoxelTemperature
from shared.wire import WIRE_VERSION, Record, Scalar

PATIENTS = 24
SIDE = 16
RUN = "run-1"

Fields = dict[str, Scalar]
Weights = dict[str, np.ndarray]


def tiny_study(**changes: Any) -> Study:
    """Whole scans of 16 x 16 x 16 through a network of two levels."""
    values: dict[str, Any] = {
        "name": "tiny",
        "seed": 1,
        "task": {"classes": ["tumour"]},
        "preprocessing": {"crop_foreground": False, "shape": [SIDE, SIDE, SIDE]},
        "model": {"channels": [4, 8]},
        "training": {"rounds": 2, "window": [SIDE, SIDE, SIDE], "batch_size": 4},
        "evaluation": {"validation_fraction": 0.3, "test_fraction": 0.3},
        "priority": {
            "urgent": {"outcome": "urgent"},
            "folds": 2,
            "terms": [
                {"feature": "finding_probability"},
                {"feature": "volume_ml", "transform": "log1p"},
                {"feature": "age", "centre": 60, "scale": 10, "unit": "years"},
            ],
        },
    }
    return Study.parse({**values, **changes}, "tiny study")


def site_at(data: Path, work: Path, **changes: Any) -> Site:
    """A site over `data` whose reports are cheap."""
    values: dict[str, Any] = {
        "name": "north",
        "data": data,
        "patients": data / "patients.csv",
        "work": work,
        "seismometer": False,
        "policy": {"studies": "any", "minimum_patients": 2},
    }
    return Site.parse({**values, **changes}, "test site")


def enrol(node: Node, study: Study) -> Record:
    return node.enrol(Record("enrol", {"run": RUN, "study": study.model_dump_json()}))


def train(node: Node, study: Study, weights: Weights, *, round_number: int = 1) -> Record:
    fields: Fields = {"run": RUN, "study_digest": study.digest(), "round": round_number}
    return node.train(Record("train", fields, weights))


def evaluate(node: Node, study: Study, weights: Weights, split: str, *, final: bool) -> Record:
    fields: Fields = {"study_digest": study.digest(), "round": 1, "split": split, "final": final}
    return node.evaluate(Record("evaluate", fields, weights))


FITS = 3
"""Two folds left out, and everybody."""


def newton(study: Study, coefficients: list[float], *, split: str = "validation") -> Record:
    fields: Fields = {"study_digest": study.digest(), "split": split}
    return Record("newton", fields, {"coefficients": np.tile(coefficients, (FITS, 1))})


def newton_map(study: Study, scores: list[float], coefficients: np.ndarray, calibration: str = "") -> Record:
    fields: Fields = {"study_digest": study.digest(), "split": "validation", "calibration": calibration}
    return Record("newton_map", fields, {"scores": np.tile(scores, (FITS, 1)), "coefficients": coefficients})


def held_out(study: Study, scores: list[float], maps: Any) -> Record:
    fields: Fields = {"study_digest": study.digest(), "split": "validation", "maps": json.dumps(maps)}
    return Record("held_out", fields, {"scores": np.tile(scores, (FITS, 1))})


def histograms(
    study: Study, scores: list[float], *, split: str = "validation", calibration: str = ""
) -> Record:
    fields: Fields = {"study_digest": study.digest(), "split": split, "calibration": calibration}
    return Record("histograms", fields, {"scores": np.tile(scores, (FITS, 1))})


def reliability(
    study: Study, coefficients: list[float], *, calibrated: bool, calibration: str = ""
) -> Record:
    fields: Fields = {
        "study_digest": study.digest(),
        "split": "validation",
        "calibrated": calibrated,
        "calibration": calibration,
    }
    return Record("reliability", fields, {"coefficients": np.array(coefficients)})


def voxels(study: Study, *, split: str = "validation") -> Record:
    return Record("voxels", {"study_digest": study.digest(), "split": split})


def finish(
    node: Node,
    study: Study,
    weights: Weights,
    priority: CalibratedPriority | None,
    temperature: VoxelTemperature | None = None,
) -> Record:
    texts = ["" if one is None else one.model_dump_json() for one in (priority, temperature)]
    fields: Fields = {"study_digest": study.digest(), "calibration": texts[0], "temperature": texts[1]}
    return node.finish(Record("finish", fields, weights))


def priority_of(study: Study, coefficients: dict[str, float]) -> CalibratedPriority:
    """A calibration as the coordinator would send it."""
    assert study.priority is not None
    return CalibratedPriority(
        terms=study.priority.terms,
        coefficients=coefficients,
        standard_errors=dict.fromkeys(coefficients, 0.1),
        tiers=study.priority.tiers or Tiers(),
        patients=40,
        study=study.digest(),
    )


Instruction = tuple[str, Fields, Weights]
"""Kind, fields and arrays, right or wrong."""


def message(*instructions: Instruction, version: int = WIRE_VERSION) -> Message:
    """Instructions as Flower hands them to the ClientApp."""
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1
    content = RecordDict()
    for place, (kind, fields, arrays) in enumerate(instructions):
        values: dict[str, Any] = {VERSION: version, KIND: kind, **fields, ARRAYS: pack(arrays)}
        content[str(place)] = ConfigRecord(values)
    made = Message(content, 1, "query")
    made.metadata.__dict__["_message_id"] = "instruction-1"
    return made


def send(site: Site, instruction: Message) -> Message:
    """The ClientApp's reply at `site`."""
    path = site.work.parent / f"{site.name}.yaml"
    path.write_text(site.to_yaml(), encoding="utf-8")
    return app(instruction, Context(1, 1, {"site": str(path)}, RecordDict(), {}))
