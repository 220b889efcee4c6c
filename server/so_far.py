"""What is known of a run's rounds while it is under way, without reading weights.

The history of all rounds stands in the header of each checkpoint. How the model of a round scored is known
one round later: sites validate it and train it further in one exchange.
"""

import json
import re
from pathlib import Path

from safetensors import SafetensorError, safe_open

from server.results import Round
from shared.errors import ConfigError

PATTERN = re.compile(r"round-(\d+)\.safetensors")


def checkpoints(folder: Path) -> list[Path]:
    """Files of checkpoints, the newest round first."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if PATTERN.fullmatch(p.name)), key=round_of, reverse=True)


def round_of(path: Path) -> int:
    """Round after which a checkpoint was written; 0 is the start."""
    return int(PATTERN.fullmatch(path.name)[1])  # type: ignore[index]  # `checkpoints` lists only matches


def rounds_so_far(folder: Path) -> tuple[Round, ...]:
    """Return the rounds that are over, by the newest checkpoint whose header can be read."""
    for path in checkpoints(folder):
        try:
            with safe_open(path, framework="numpy") as file:
                history = json.loads((file.metadata() or {})["history"])
            return tuple(Round.parse(entry, path.name) for entry in history["rounds"])
        except (SafetensorError, OSError, ValueError, KeyError, ConfigError):
            continue  # dropped meanwhile, or damaged: the one before is as good to look at
    return ()
