"""The U-Net a Study describes, its weights as named arrays, and the model folder a run exports."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from monai.networks.nets import UNet
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import nn

from shared.config import Config
from shared.errors import ConfigError
from shared.files import write_atomically
from shared.priority import CalibratedPriority
from shared.study import Study
from shared.voxel_temperature import VoxelTemperature

Fitted = TypeVar("Fitted", bound=Config)
CALIBRATION = "calibration.json"
TEMPERATURE = "temperature.json"

Weights = dict[str, np.ndarray]
"""State-dict name -> array of that tensor's shape, float32."""


def build(study: Study) -> nn.Module:
    """MONAI U-Net: (B, channels, *spatial) -> logits (B, 1 + classes, *spatial), channel 0 is background.

    Instance or group norm only: batch statistics mix patients, which breaks both federated averaging
    (Fed-IXI, FLamby) and any per-patient privacy guarantee.
    """
    spec = study.model
    norm = ("INSTANCE", {"affine": True}) if spec.norm == "instance" else ("GROUP", {"num_groups": 1})
    net: nn.Module = UNet(
        spatial_dims=spec.dimensions,
        in_channels=len(study.task.channels),
        out_channels=1 + len(study.task.classes),
        channels=spec.channels,
        strides=(2,) * (len(spec.channels) - 1),
        num_res_units=spec.residual_units,
        norm=norm,
    )
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in net.modules()):
        raise ConfigError("the model holds batch norm, which mixes patients; use instance or group norm.")
    return net


def initial_weights(study: Study) -> Weights:
    """Random start drawn from the study's seed; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(study.seed)
        return get_weights(build(study))


def get_weights(net: nn.Module) -> Weights:
    """Copy a network's state into named float32 arrays."""
    return {name: t.detach().cpu().numpy().astype(np.float32) for name, t in net.state_dict().items()}


def set_weights(net: nn.Module, weights: Mapping[str, np.ndarray]) -> None:
    """Load named arrays into a network; every name and shape must match."""
    net.load_state_dict({name: torch.from_numpy(np.array(w)) for name, w in weights.items()})


def digest(weights: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, shapes, types and bytes: equal exactly when the weights are."""
    sha = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        sha.update(f"{name}{array.shape}{array.dtype.str}".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def checkpoint_seal(arrays: Mapping[str, np.ndarray], history: str) -> str:
    """SHA-256 over a checkpoint's arrays and its history as JSON text."""
    return hashlib.sha256(f"{digest(arrays)}{history}".encode()).hexdigest()


@dataclass(frozen=True)
class TrainedModel:
    """What a run exports and `wardround evaluate` reads: weights, study, and what was fitted beside them.

    `priority` is the calibrated score, `temperature` that of the segmentation's own probabilities.
    """

    study: Study
    weights: Weights
    priority: CalibratedPriority | None
    temperature: VoxelTemperature | None = None

    def network(self) -> nn.Module:
        """Build the network in evaluation mode."""
        net = build(self.study)
        set_weights(net, self.weights)
        return net.eval()

    def save(self, folder: Path) -> None:
        """Write model.safetensors, study.yaml and, where fitted, calibration.json and temperature.json.

        Each file appears whole or not at all; one of an earlier model that this one lacks goes.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with write_atomically(folder / "model.safetensors") as path:
            save_file(
                self.weights, path, metadata={"study": self.study.digest(), "weights": digest(self.weights)}
            )
        with write_atomically(folder / "study.yaml") as path:
            path.write_text(self.study.to_yaml(), encoding="utf-8")
        for name, fitted in ((CALIBRATION, self.priority), (TEMPERATURE, self.temperature)):
            if fitted is None:
                (folder / name).unlink(missing_ok=True)
                continue
            with write_atomically(folder / name) as path:
                path.write_text(fitted.model_dump_json(indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "TrainedModel":
        """Read a model folder; raise ConfigError when a file is missing, damaged or of another study."""
        study = Study.load(folder / "study.yaml")
        path = folder / "model.safetensors"
        try:
            weights, sealed = _read(path)
            set_weights(build(study), weights)
        except (OSError, SafetensorError, RuntimeError) as error:
            raise ConfigError(
                f"{path} is not a model of {folder / 'study.yaml'}: {error}. "
                "Give the model/ folder of a finished run."
            ) from error
        if sealed != digest(weights):
            raise ConfigError(
                f"{path} is damaged: its weights are not those that were written. Copy it again."
            )
        priority = _fitted(folder / CALIBRATION, CalibratedPriority)
        return cls(study, weights, priority, _fitted(folder / TEMPERATURE, VoxelTemperature))


def _fitted(path: Path, of: type[Fitted]) -> Fitted | None:
    """Read one part of a model that not every model has; ConfigError when it is damaged."""
    if not path.exists():
        return None
    try:
        return of.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is damaged: {error}. Copy the model folder again.") from error


def _read(path: Path) -> tuple[Weights, str | None]:
    """Weights of a safetensors file and the digest it was sealed with."""
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, (file.metadata() or {}).get("weights")  # noqa: SIM118
