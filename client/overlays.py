"""Pictures of what the network saw: one axial slice, both masks outlined. They stay at the site."""

from pathlib import Path

import numpy as np
from PIL import Image

from client.drawing import GREEN, ORANGE, outline
from shared.files import write_atomically
from shared.unlabelled import UNLABELLED

REFERENCE = GREEN
PREDICTION = ORANGE
SIDE_PX = 256


def overlay(image: np.ndarray, reference: np.ndarray, prediction: np.ndarray) -> Image.Image:
    """Draw the axial slice with the most reference and predicted voxels.

    image : (X, Y, Z) float in RAS, one channel; reference and prediction : (X, Y, Z) class indices, of which
    UNLABELLED is not drawn
    """
    reference = np.where(reference == UNLABELLED, 0, reference)
    marked = (reference > 0).sum(axis=(0, 1)) + (prediction > 0).sum(axis=(0, 1))
    k = int(marked.argmax()) if marked.any() else image.shape[2] // 2
    low, high = np.percentile(image[:, :, k], (1, 99))
    grey = np.clip((image[:, :, k] - low) / max(high - low, 1e-6), 0, 1)
    factor = max(1, SIDE_PX // max(grey.shape))
    pixels = np.repeat((_enlarged(grey, factor) * 255).astype(np.uint8)[..., None], 3, axis=2)
    for mask, colour in ((reference, REFERENCE), (prediction, PREDICTION)):
        pixels[_outlines(mask[:, :, k], factor)] = colour
    return Image.fromarray(
        np.ascontiguousarray(pixels.transpose(1, 0, 2)[::-1, ::-1])
    )  # anterior up, patient right left


def write_overlay(path: Path, picture: Image.Image) -> None:
    """Write a PNG without metadata."""
    with write_atomically(path) as temporary:
        picture.save(temporary, format="PNG")


def _outlines(classes: np.ndarray, factor: int) -> np.ndarray:
    edges = np.zeros(tuple(n * factor for n in classes.shape), dtype=bool)
    for value in np.unique(classes[classes > 0]):
        edges |= outline(_enlarged(classes == value, factor), max(1, factor // 4))
    return edges


def _enlarged(plane: np.ndarray, factor: int) -> np.ndarray:
    return np.repeat(np.repeat(plane, factor, axis=0), factor, axis=1)
