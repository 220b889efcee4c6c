"""What is known of one scan: findings, priority, reasons, versions. Written as JSON beside its mask.

It names the case as the hospital does and therefore stays at the hospital. Lengths are millimetres, volumes
millilitres; positions are in the scanner's RAS coordinates (right, anterior, superior are positive).
Slices count from 0 along the axis of the scan's own files that runs closest to head and foot.

Keys may be added between versions; the meaning of a key never changes. The generated schema is kept beside
this file (`result.schema.json`), so that a change of it is seen in review.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from shared.config import Config
from shared.errors import ConfigError
from shared.files import write_atomically
from shared.priority import Tier
from shared.study import Fraction

SCHEMA_FILE = Path(__file__).with_name("result.schema.json")
NOTICE = "Research use, not a medical device."

NotNegative = Annotated[float, Field(ge=0)]


class Finding(Config):
    """One connected finding; the largest has number 1."""

    number: Annotated[int, Field(ge=1)]
    name: str = Field(description="the finding class that most of its voxels have")
    voxels: Annotated[int, Field(ge=1)]
    volume_ml: NotNegative
    diameter_mm: NotNegative = Field(description="longest within one axial slice (RECIST 1.1)")
    short_axis_mm: NotNegative = Field(description="longest across it, in the same slice")
    diameter_slice: Annotated[int, Field(ge=0)] = Field(description="slice in which it was measured")
    diameter_ends_mm: tuple[tuple[float, float, float], tuple[float, float, float]] = Field(
        description="its two ends"
    )
    centroid_mm: tuple[float, float, float]
    side: Literal["left", "right", "midline"] = Field(description="of the middle of the scan, the patient's")
    first_slice: Annotated[int, Field(ge=0)]
    last_slice: Annotated[int, Field(ge=0)]
    mean_probability: Fraction
    highest_probability: Fraction
    touches_border: bool = Field(description="it may go on outside the scan")
    uncertainty: Fraction | None = Field(
        default=None, description="0 sure, 1 not: how far the repeated readings differ"
    )


class Reason(Config):
    """One term of the score, as `shared.priority.Reason`."""

    feature: str
    label: str
    value: float | None
    unit: str
    contribution: float = Field(description="log-odds")
    text: str


class PriorityFound(Config):
    """The place in the reading order. intercept + calibration + all contributions is log_odds, exactly."""

    probability: Fraction
    low: Fraction = Field(description="of the 95 % interval that the fit's own uncertainty gives")
    high: Fraction
    log_odds: float
    tier: Tier
    intercept: float
    calibration: float = Field(default=0.0, description="what the calibration added, in log-odds")
    reasons: tuple[Reason, ...]
    missing: tuple[str, ...] = Field(default=(), description="history that was not recorded, by label")
    changes: tuple[str, ...] = Field(default=(), description="what would change the tier, in words")


class Versions(Config):
    """What made this result; the digests are SHA-256."""

    wardround: str
    study: str
    study_digest: str
    weights_digest: str
    calibration_digest: str | None
    voxel_temperature: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="that the probability map and the findings' probabilities were calibrated by; None: as "
        "the network gives them",
    )


class Result(Config):
    """One scan, read. In JSON the version stands under the key ``schema``."""

    schema_version: Literal["wardround.result/1"] = Field(default="wardround.result/1", alias="schema")
    notice: Literal["Research use, not a medical device."] = "Research use, not a medical device."
    case: str
    patient: str
    source_digest: str = Field(description="SHA-256 of the files read and of all that decides the result")
    versions: Versions
    made: datetime = Field(description="UTC")
    classes: tuple[str, ...] = Field(default=(), description="what 1, 2, ... are in the mask")
    findings: tuple[Finding, ...]
    sum_of_diameters_mm: NotNegative
    uncertainty: Fraction | None = None
    features: dict[str, float]
    priority: PriorityFound | None = Field(default=None, description="None where the model has none")
    warnings: tuple[str, ...] = ()
    files: dict[str, str] = Field(default={}, description="what was written beside this file, by kind")
    seconds: dict[str, NotNegative] = Field(default={}, description="by step")

    def write(self, path: Path) -> None:
        """Put the JSON at `path` in one step, open to its owner only."""
        with write_atomically(path, private=True) as temporary:
            temporary.write_text(self.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote; raise ConfigError for anything else."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} is no result of a scan: {error}. Predict it again.") from error


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a result as it is written."""
    schema = Result.model_json_schema(mode="serialization", by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


if __name__ == "__main__":
    SCHEMA_FILE.write_text(json.dumps(json_schema(), indent=1) + "\n", encoding="utf-8")
