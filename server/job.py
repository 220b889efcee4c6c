"""What a run's process needs to know; imports nothing that computes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

START = "start.safetensors"
"""Weights to start from, in a run's folder."""
STATISTICS = "statistics.asked"
"""In the folder of a run that asks for statistics and trains nothing; empty."""


@dataclass(frozen=True)
class Job:
    """What the run's process needs: its folder with study.yaml, who is who among the nodes, and bounds."""

    folder: Path
    names: Mapping[int, str]
    enrol_wait_s: float
    grace_s: float
    max_reply_bytes: int

    def configuration(self) -> dict[str, bool | float | int | str]:
        """Write it as the run configuration that server/app.py reads."""
        start = self.folder / START
        return {
            "study": str(self.folder / "study.yaml"),
            "out": str(self.folder),
            "name": self.folder.name,
            "sites": len(self.names),
            "engine": "deploy",
            "resume": True,  # from the newest checkpoint, where there is one
            "start": str(start) if start.exists() else "",
            "statistics": (self.folder / STATISTICS).exists(),
            "names": json.dumps({str(node): site for node, site in self.names.items()}),
            "enrol_wait_s": self.enrol_wait_s,
            "grace_s": self.grace_s,
        }
