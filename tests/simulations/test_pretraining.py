"""The public start model depends on the study alone and is better than a random one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from client.training import Case, Trained, train
from shared.model import Weights, digest, initial_weights
from shared.study import Study, Training
from simulations import pretraining
from tests.server.fake_sites import STUDY

SMALL = STUDY.model_copy(
    update={"start": "phantoms", "training": Training(window=(16, 16, 16), batch_size=2, learning_rate=0.01)}
)
Steps = list[tuple[str, int, int]]


@pytest.fixture(autouse=True)
def few_volumes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "VOLUMES", 6)
    monkeypatch.setattr(pretraining, "EPOCHS", 2)


def start(folder: Path, study: Study = SMALL, steps: Steps | None = None) -> Path:
    def progress(*step: object) -> None:
        if steps is not None:
            steps.append(step)  # type: ignore[arg-type]

    return pretraining.public_start(study, folder, threads=1, progress=progress)


def test_the_start_is_a_finite_model_of_the_studys_shape_and_no_longer_random(tmp_path: Path) -> None:
    found, random = load_file(start(tmp_path)), initial_weights(SMALL)
    assert {n: w.shape for n, w in found.items()} == {n: w.shape for n, w in random.items()}
    assert all(np.isfinite(w).all() and w.dtype == np.float32 for w in found.values())
    assert digest(found) != digest(random)


def test_the_same_study_gives_the_same_start_and_another_seed_another(tmp_path: Path) -> None:
    first = load_file(start(tmp_path / "first"))
    assert digest(load_file(start(tmp_path / "second"))) == digest(first)
    other = SMALL.model_copy(update={"seed": 5})
    assert digest(load_file(start(tmp_path / "third", other))) != digest(first)


def test_a_study_of_points_and_channels_starts_from_whole_labels_in_as_many_contrasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []

    def looked_at(weights: Weights, cases: Sequence[Case], study: Study, **how: Any) -> Trained:
        assert study.task.truth == "label"
        seen.extend(image for image, _ in cases)
        return train(weights, cases, study, **how)

    monkeypatch.setattr(pretraining, "train", looked_at)
    task = SMALL.task.model_copy(update={"channels": ("t1", "t2", "flair"), "truth": "points"})
    found = load_file(start(tmp_path, SMALL.model_copy(update={"task": task})))
    assert all(np.isfinite(w).all() for w in found.values())
    assert {len(image) for image in seen} == {3}
    for image in seen:
        assert image.dtype == np.float32
        assert np.corrcoef(image.reshape(3, -1))[np.triu_indices(3, 1)].max() < 0.9999  # not copies


def test_it_is_drawn_once_for_each_study_and_found_again(tmp_path: Path) -> None:
    steps: Steps = []
    path = start(tmp_path, steps=steps)
    assert steps[-1] == ("public start model", 2, 2)
    steps.clear()
    written = path.stat().st_mtime_ns
    assert start(tmp_path, steps=steps) == path
    assert path.stat().st_mtime_ns == written
    assert steps == []
    assert start(tmp_path, SMALL.model_copy(update={"seed": 6})) != path
