"""results.json: everything a run found out, as frozen objects with one schema.

Keys may be added between versions; the meaning of a key never changes. The generated schema is kept
beside this file (`results.schema.json`), so that a change of it is seen in review.
Undefined numbers are null, never NaN. Dice, probabilities and areas are fractions, times are seconds.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from server.json_file import JsonFile
from server.priority_figures import Calibration
from server.scores import Count, Fraction, SegmentationFigures, VoxelCalibration
from shared.config import Config
from shared.errors import ConfigError

SCHEMA_FILE = Path(__file__).with_name("results.schema.json")

Seconds = Annotated[float, Field(ge=0)]
Status = Literal["used", "late", "failed", "refused"]


class Worst(Config):
    """The site with the lowest Dice; both are None where no site has a Dice."""

    site: str | None
    dice: Fraction | None


class Spread(Config):
    """How far Dice lies apart between sites; None where no site has a Dice."""

    min: Fraction | None
    max: Fraction | None
    standard_deviation: Annotated[float, Field(ge=0)] | None


class Pooled(Config):
    """One model on all sites' scans together and on each site's."""

    pooled: SegmentationFigures
    sites: dict[str, SegmentationFigures]


class Judged(Pooled):
    """A model for all sites: `shared.metrics.worst_and_spread` beside its figures."""

    worst: Worst
    spread: Spread


class LocalModel(Pooled):
    """A model trained at one site alone; `own` is its score on that site's own test scans."""

    own: SegmentationFigures


class Comparison(Config):
    """Test-set figures of the federated model and of the baselines that were asked for."""

    federated: Judged | None = None
    local_only: dict[str, LocalModel] = Field(default={}, description="by the site that trained it")
    pooled_training: Judged | None = Field(default=None, description="all training scans in one place")


class Patients(Config):
    """Patients per split."""

    train: Count
    validation: Count
    test: Count

    @property
    def total(self) -> int:
        """Patients over all splits."""
        return self.train + self.validation + self.test


class Skipped(Config):
    """Cases a site could not use; the case is named in simulations only, real sites report counts."""

    reason: str
    case: str | None = None
    count: Annotated[int, Field(ge=1)] = 1


class SiteEntry(Config):
    """One site's part in the run; epsilon and delta are None without differential privacy."""

    patients: Patients
    skipped: tuple[Skipped, ...] = ()
    patient_unit: Literal["patient", "case"] = Field(
        default="patient", description="case: the site has no patients table, each scan counts as a patient"
    )
    history_lacking: Count = Field(default=0, description="history columns of the study that the site lacks")
    epsilon: float | None = Field(default=None, ge=0, description="promised for the whole run")
    delta: float | None = Field(default=None, gt=0, lt=1)
    epsilon_spent: float | None = Field(default=None, ge=0, description="accounted at the end of the run")


class SiteRound(Config):
    """What became of one site's reply in one round."""

    status: Status
    reason: str | None = None
    patients: Count = 0
    seconds: Seconds = 0.0
    bytes_up: Count = 0
    bytes_down: Count = 0


class Round(Config):
    """One round; `validation` is None when the model was not evaluated after it."""

    round: Annotated[int, Field(ge=1)]
    seconds: Seconds
    sites: dict[str, SiteRound]
    validation: Pooled | None = None


class Event(Config):
    """Something that was asked of a site and not used; nothing is dropped silently."""

    phase: str
    site: str
    status: Literal["late", "failed", "refused"]
    reason: str | None = None
    round: Count | None = None


class Results(JsonFile):
    """One run. In JSON the version stands under the key ``schema``."""

    schema_version: Literal["wardround.results/1"] = Field(default="wardround.results/1", alias="schema")
    study: dict[str, Any] = Field(description="the Study, whole")
    engine: str
    seed: Count
    versions: dict[str, str]
    seconds: Seconds
    sites: dict[str, SiteEntry]
    rounds: tuple[Round, ...]
    evaluation: Comparison = Comparison()
    calibration: Calibration | None = None
    voxels: VoxelCalibration | None = Field(
        default=None, description="of the probability map; None where no temperature was fitted"
    )
    events: tuple[Event, ...] = ()

    @property
    def study_digest(self) -> str:
        """SHA-256 of the study's canonical JSON, equal to `Study.digest`."""
        text = json.dumps(self.study, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote; raise ConfigError for anything else."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ConfigError(f"{path} does not exist. Give the results.json of a finished run.") from error
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read as JSON: {error}. Give a results.json.") from error
        found = values.get("schema") if isinstance(values, Mapping) else None
        expected = cls.model_fields["schema_version"].default
        if found != expected:
            raise ConfigError(
                f"{path} has schema {found!r}, expected {expected!r}. Use the Wardround that wrote it."
            )
        return cls.parse(values, str(path))


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of results.json as it is written."""
    schema = Results.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


if __name__ == "__main__":
    SCHEMA_FILE.write_text(json.dumps(json_schema(), indent=1) + "\n", encoding="utf-8")
