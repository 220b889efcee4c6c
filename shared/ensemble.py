"""Further networks for a model: model folders of other runs of its study, or checkpoints of its rounds."""

from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import nn

from shared.errors import ConfigError
from shared.model import TrainedModel, Weights, build, checkpoint_seal, digest, set_weights

OF_A_CHECKPOINT = "w/"
"""What the names of the weights begin with in a checkpoint of a round (server/checkpoint.py)."""


def members(model: TrainedModel, paths: Sequence[Path]) -> list[nn.Module]:
    """Build a network in evaluation mode from each path: a folder as `TrainedModel.save` writes, or a file.

    A file is `model.safetensors` or `round-NNNN.safetensors`.

    Raises
    ------
    ConfigError
        A path that is neither, damaged, or of another network than the model's.
    """
    return [_network(model, path) for path in paths]


def _network(model: TrainedModel, path: Path) -> nn.Module:
    file = path / "model.safetensors" if path.is_dir() else path
    net = build(model.study)
    try:
        set_weights(net, _weights(file))
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"{path} is no network of this model's shape: {error}. Give a model/ folder, or a "
            "round-NNNN.safetensors, of a run with the same classes, channels and network."
        ) from error
    return net.eval()


def _weights(file: Path) -> Weights:
    """Read weights, checked against the seal they were written with."""
    with safe_open(file, framework="numpy") as opened:
        sealed = opened.metadata() or {}
        arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
    if "history" in sealed:
        intact = sealed.get("seal") == checkpoint_seal(arrays, sealed["history"])
        weights = {n[2:]: array for n, array in arrays.items() if n.startswith(OF_A_CHECKPOINT)}
    else:
        intact, weights = sealed.get("weights") == digest(arrays), arrays
    if not intact:
        raise ValueError("its seal does not match its content")
    return weights
