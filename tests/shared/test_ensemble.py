"""Networks beside a model's own: other runs of its study, checkpoints of its rounds, and nothing damaged."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from server.checkpoint import Checkpoint
from shared.ensemble import members
from shared.errors import ConfigError
from shared.model import TrainedModel, digest, get_weights, initial_weights
from tests.client.hospital import tiny_study


def model_of(seed: int, channels: tuple[int, ...] = (4, 8)) -> TrainedModel:
    study = tiny_study(seed=seed, model={"channels": channels})
    return TrainedModel(study, initial_weights(study), None)


def checkpoint(model: TrainedModel, folder: Path) -> Path:
    history = {"study_digest": model.study.digest()}
    Checkpoint(3, model.weights, {"m/momentum": np.ones(2)}, history).save(folder)
    return folder / "round-0003.safetensors"


def test_a_folder_a_file_and_a_round_are_read_to_the_bit(tmp_path: Path) -> None:
    model, other = model_of(1), model_of(2)
    other.save(tmp_path / "model")
    paths = [tmp_path / "model", tmp_path / "model" / "model.safetensors", checkpoint(other, tmp_path / "c")]
    found = members(model, paths)
    assert [digest(get_weights(net)) for net in found] == [digest(other.weights)] * 3
    assert not any(net.training for net in found)
    assert members(model, []) == []


def test_another_network_a_damaged_one_and_none_are_refused_by_name(tmp_path: Path) -> None:
    model = model_of(1)
    model_of(2, channels=(8, 16)).save(tmp_path / "wider")
    with pytest.raises(ConfigError, match=r"(?s)wider is no network of this model's shape.*same classes"):
        members(model, [tmp_path / "wider"])
    with pytest.raises(ConfigError, match="nowhere is no network"):
        members(model, [tmp_path / "nowhere"])
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(ConfigError, match=r"text\.safetensors is no network"):
        members(model, [tmp_path / "text.safetensors"])
    for path in (checkpoint(model, tmp_path), tmp_path / "sealed.safetensors"):
        sealed = {"history": "{}", "seal": "of other weights"} if "round" in path.name else {"weights": "0"}
        arrays = load_file(path) if path.exists() else model.weights
        save_file(arrays, path, metadata=sealed)
        with pytest.raises(ConfigError, match="its seal does not match"):
            members(model, [path])
