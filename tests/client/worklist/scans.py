"""Made results and an empty worklist, for the tests of the worklist."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from client.result import PriorityFound, Reason, Result, Versions
from client.site import Site
from shared.priority import Tier

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
PROBABILITY = {"routine": 0.1, "urgent": 0.3, "asap": 0.6, "stat": 0.9}
TIERS: tuple[Tier, ...] = ("routine", "urgent", "asap", "stat")


def site_of(folder: Path, **worklist: Any) -> Site:
    """A site whose worklist is new."""
    values = {"name": "north", "data": folder, "work": folder / "work", "worklist": worklist}
    return Site.parse(values, "test site")


def found(tier: Tier, probability: float | None = None) -> PriorityFound:
    """A priority of three reasons."""
    probability = PROBABILITY[tier] if probability is None else probability
    log_odds = math.log(probability / (1 - probability))
    texts = ["largest finding 31 mm: +1.40", "prior cancer: +0.80", "age not recorded: +0.00"]
    reasons = tuple(
        Reason(feature=f"f{k}", label=text, value=1.0, unit="", contribution=0.0, text=text)
        for k, text in enumerate(texts)
    )
    return PriorityFound(
        probability=probability,
        low=probability / 2,
        high=(1 + probability) / 2,
        log_odds=log_odds,
        tier=tier,
        intercept=log_odds,
        reasons=reasons,
        missing=("age",),
    )


def result(
    case: str,
    tier: Tier | None = "routine",
    *,
    probability: float | None = None,
    digest: str = "a",
    weights: str = "w",
    calibration: str | None = "c",
    features: dict[str, float] | None = None,
    warnings: Sequence[str] = (),
    made: datetime = START,
) -> Result:
    """One scan as `wardround site predict` leaves it."""
    return Result(
        case=case,
        patient=f"patient of {case}",
        source_digest=digest,
        versions=Versions(
            wardround="0",
            study="tiny",
            study_digest="s",
            weights_digest=weights,
            calibration_digest=None if tier is None else calibration,
        ),
        made=made,
        findings=(),
        sum_of_diameters_mm=0.0,
        features=features or {},
        priority=None if tier is None else found(tier, probability),
        warnings=tuple(warnings),
    )
