"""One file a round that holds everything needed to go on: weights, strategy state, history.

A checkpoint is one safetensors file, written aside and renamed, with the history as JSON in its header and a
SHA-256 over both. After a kill at any moment the newest whole file is found; a damaged one is passed over.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from server.so_far import checkpoints, round_of
from shared.errors import CheckpointError
from shared.files import write_atomically
from shared.model import Weights, checkpoint_seal

KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """State after `round` was aggregated; round 0 is the start. `history` is JSON-ready."""

    round: int
    weights: Weights
    state: Weights
    history: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write atomically, then drop all but the newest two."""
        arrays = {f"w/{n}": np.ascontiguousarray(a) for n, a in self.weights.items()}
        arrays |= {f"s/{n}": np.ascontiguousarray(a) for n, a in self.state.items()}
        history = json.dumps(self.history, sort_keys=True)
        with write_atomically(folder / f"round-{self.round:04d}.safetensors") as path:
            save_file(arrays, path, metadata={"history": history, "seal": checkpoint_seal(arrays, history)})
        for old in checkpoints(folder)[KEPT:]:
            old.unlink()


def load_newest(folder: Path, *, study_digest: str) -> Checkpoint | None:
    """Newest undamaged checkpoint of this study, or None where there is no file at all.

    Raises CheckpointError when files exist but none is usable, or they belong to another study.
    """
    files = checkpoints(folder)
    faults = []
    for path in files:
        try:
            found = _read(path)
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            faults.append(f"{path.name}: {error}")
            continue
        if found.history.get("study_digest") != study_digest:
            raise CheckpointError(
                f"{path} belongs to study {str(found.history.get('study_digest'))[:12]}..., "
                f"this one is {study_digest[:12]}.... "
                "Resume with the scenario and --set values the run was started with, or choose another --out."
            )
        return found
    if faults:
        raise CheckpointError(
            f"no checkpoint in {folder} can be read ({'; '.join(faults)}). Start again without --resume."
        )
    return None


def _read(path: Path) -> Checkpoint:
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    if metadata["seal"] != checkpoint_seal(arrays, metadata["history"]):
        raise ValueError("its seal does not match its content")
    return Checkpoint(
        round=round_of(path),
        weights={n[2:]: a for n, a in arrays.items() if n.startswith("w/")},
        state={n[2:]: a for n, a in arrays.items() if n.startswith("s/")},
        history=json.loads(metadata["history"]),
    )
