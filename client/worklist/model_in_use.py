"""The model and calibration that the site uses now, without loading a network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from safetensors import SafetensorError, safe_open

from shared.errors import ConfigError
from shared.priority import CalibratedPriority


@dataclass(frozen=True)
class ModelInUse:
    """Digest of the weights, and the calibration if there is one."""

    weights_digest: str
    priority: CalibratedPriority | None

    @property
    def calibration_digest(self) -> str | None:
        """SHA-256 of the calibration."""
        return None if self.priority is None else self.priority.digest()

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read a model folder; None if there is none yet, ConfigError if it is damaged."""
        path = folder / "model.safetensors"
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                sealed = (file.metadata() or {})["weights"]
            calibration = folder / "calibration.json"
            priority = (
                CalibratedPriority.model_validate_json(calibration.read_bytes())
                if calibration.exists()
                else None
            )
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise ConfigError(f"the model in {folder} is damaged: {error}. Copy it again.") from error
        return cls(sealed, priority)
