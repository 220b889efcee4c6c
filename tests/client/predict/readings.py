"""Scans to read, a network that sees what is bright, and the model folder of a site, for tests."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from torch import nn

from client.predict.run import Predicted, Request, predict
from client.site import Site
from shared.model import TrainedModel, initial_weights
from shared.study import Study
from tests.client.data.formats.dicoms import write_multiframe, write_series
from tests.client.hospital import priority_of, tiny_study

SHAPE = (20, 24, 10)
Array = npt.NDArray[Any]
STUDY = tiny_study(preprocessing={"crop_foreground": True})
COEFFICIENTS = {"intercept": -2.0, "finding_probability": 0.5, "volume_ml": 2.0, "age": 0.3}


def likely(_net: nn.Module, image: Array, study: Study) -> Array:
    """Stand in for `client.inference.probabilities`: what is bright is the first class."""
    bright = expit(4 * (np.asarray(image[0]) - 1.5)).astype(np.float32)
    rest = np.zeros((len(study.task.classes) - 1, *bright.shape), np.float32)
    return np.concatenate([[1 - bright], [bright], rest])


def scene(shape: tuple[int, int, int] = SHAPE) -> Array:
    """Tissue with two bright boxes, 4 x 6 x 3 and 2 x 2 x 2 voxels, int16; no symmetry."""
    image = np.random.default_rng(5).normal(100, 5, shape).astype(np.int16)
    image[:2] = 0
    image[5:9, 4:10, 2:5] += 200
    image[14:16, 17:19, 6:8] += 200
    return image


def boxes(shape: tuple[int, int, int] = SHAPE) -> Array:
    """Where the boxes of `scene` are: 1 the large one, 2 the small one."""
    label = np.zeros(shape, np.uint8)
    label[5:9, 4:10, 2:5] = 1
    label[14:16, 17:19, 6:8] = 2
    return label


def turned(angle: float, spacing: tuple[float, float, float] = (0.8, 0.9, 2.5)) -> Array:
    """An affine turned by `angle` about two axes, with an origin of its own."""
    c, s = np.cos(angle), np.sin(angle)
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag(spacing)
    affine[:3, 3] = (-30, 12, 55)
    return affine


def reversed_order(affine: Array, slices: int = SHAPE[2]) -> Array:
    """Put the first slice last: the stack runs against its normal."""
    other = affine.copy()
    other[:3, 3] += affine[:3, 2] * (slices - 1)
    other[:3, 2] *= -1
    return other


def sheared(affine: Array) -> Array:
    """A tilted gantry: each slice is shifted against the one before."""
    other = affine.copy()
    other[:3, 2] += 0.3 * affine[:3, 1]
    return other


# LPS order, as scanners have it; then what makes orientation hard.
STRAIGHT = np.diag([-1.0, -1.0, 1.0, 1.0]) @ turned(0.0)
AFFINES = {
    "straight": STRAIGHT,
    "oblique": np.diag([-1.0, -1.0, 1.0, 1.0]) @ turned(0.3),
    "last slice first": reversed_order(STRAIGHT),
    "oblique, last slice first": reversed_order(np.diag([-1.0, -1.0, 1.0, 1.0]) @ turned(0.2)),
    "tilted gantry": sheared(STRAIGHT),
}


def dicom_series(folder: Path, affine: Array) -> Path:
    write_series(folder, scene(), affine)
    return folder


def dicom_multiframe(path: Path, affine: Array) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_multiframe(path, scene(), affine)


def model_of(study: Study = STUDY, *, calibrated: bool = True) -> TrainedModel:
    priority = priority_of(study, COEFFICIENTS) if calibrated else None
    return TrainedModel(study, initial_weights(study), priority)


def site_of(work: Path, **changes: Any) -> Site:
    values = {"name": "north", "data": "nowhere", "work": str(work)}
    return Site.parse({**values, **changes}, "test site")


def predicted(work: Path, *scans: Path, model: TrainedModel | None = None, **options: Any) -> Predicted:
    return predict(site_of(work), model or model_of(), Request(scans, **options))
