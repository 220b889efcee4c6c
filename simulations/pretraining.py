"""The public start model: a U-Net trained on random synthetic volumes, before any hospital is asked."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from client.training import Span, train
from shared.files import write_atomically
from shared.model import digest, initial_weights
from shared.randomness import generator
from shared.study import Study
from simulations.random_volumes import another_contrast, random_labelled_volume

VOLUMES = 192
EPOCHS = 3


def public_start(
    study: Study, folder: Path, *, threads: int, progress: Callable[[str, int, int], None]
) -> Path:
    """Train the start model and return its safetensors file; re-used when the same study asks again.

    Depends on the study alone. No patient is in it, so it costs no privacy.
    """
    path = folder / f"start-{study.digest()[:16]}.safetensors"
    if path.exists():
        return path
    torch.set_num_threads(threads)
    weights = initial_weights(study)
    plain = study.model_copy(
        update={
            "strategy": study.strategy.model_copy(update={"name": "fedavg"}),
            "task": study.task.model_copy(update={"truth": "label"}),  # of a phantom every voxel is known
        }
    )
    shape = study.preprocessing.shape or study.training.window
    for number in range(EPOCHS):
        progress("public start model", number, EPOCHS)
        rng = generator(study.seed, "phantoms", number)
        volumes = [
            random_labelled_volume(rng, _field_of_view(rng, shape), len(study.task.classes))
            for _ in range(VOLUMES)
        ]
        cases = [(_channels(rng, image, study), label) for image, label in volumes]
        span = Span(number / EPOCHS, (number + 1) / EPOCHS)
        weights = train(weights, cases, plain, epochs=1, span=span, rng=rng).weights
    progress("public start model", EPOCHS, EPOCHS)
    with write_atomically(path) as temporary:
        save_file(weights, temporary, metadata={"weights": digest(weights)})
    return path


def _channels(rng: np.random.Generator, image: np.ndarray, study: Study) -> np.ndarray:
    """One image (X, Y, Z) as all channels (C, X, Y, Z) of the study: the same anatomy in other contrasts."""
    others = [another_contrast(rng, image) for _ in study.task.channels[1:]]
    return np.stack([image, *others])


def _field_of_view(rng: np.random.Generator, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    # Real scans are smaller than the common shape by different amounts, and padded up to it.
    x, y, z = (max(1, round(side * share)) for side, share in zip(shape, rng.uniform(0.7, 1, 3), strict=True))
    return x, y, z
