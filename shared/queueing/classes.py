"""Who waits for what: patients by tier, reading times, readers, and the load these make."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from shared.config import Config
from shared.errors import ConfigError
from shared.study import Fraction
from shared.sums import FloatArray

Minutes = Annotated[float, Field(gt=0)]

EXPONENTIAL = 2.0
"""Mean square of an exponential time whose mean is 1."""


class Triage(Config):
    """How patients fall into tiers, top tier first; each of the two rows of shares adds up to 1."""

    prevalence: Fraction = Field(description="share of patients who have what is looked for")
    diseased: tuple[Fraction, ...] = Field(min_length=1, description="share of the diseased in each tier")
    others: tuple[Fraction, ...] = Field(min_length=1, description="share of the others in each tier")

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if len(self.diseased) != len(self.others):
            raise ValueError(f"{len(self.diseased)} tiers of diseased and {len(self.others)} of others")
        for shares in (self.diseased, self.others):
            if abs(sum(shares) - 1) > 1e-9:
                raise ValueError(f"shares {shares} add up to {sum(shares)}, expected 1")
        return self

    @classmethod
    def at(cls, *, prevalence: float, sensitivity: float, specificity: float) -> Self:
        """Two tiers: positive, then negative."""
        return cls(
            prevalence=prevalence,
            diseased=(sensitivity, 1 - sensitivity),
            others=(1 - specificity, specificity),
        )

    @classmethod
    def counted(
        cls, diseased: Sequence[int], others: Sequence[int], *, prevalence: float | None = None
    ) -> Self:
        """From patients in each tier, top tier first; ConfigError where one of the two kinds has none."""
        if not sum(diseased) or not sum(others):
            raise ConfigError(
                f"found {sum(diseased)} diseased patients and {sum(others)} others, "
                "expected at least one of each. Give the sensitivity and specificity instead."
            )
        return cls(
            prevalence=sum(diseased) / (sum(diseased) + sum(others)) if prevalence is None else prevalence,
            diseased=tuple(n / sum(diseased) for n in diseased),
            others=tuple(n / sum(others) for n in others),
        )

    def first_come(self) -> Self:
        """Put the same patients in one tier: first come, first served."""
        return self.model_copy(update={"diseased": (1.0,), "others": (1.0,)})

    def shares(self) -> FloatArray:
        """Share of all patients in each tier (k,)."""
        return self.prevalence * np.array(self.diseased) + (1 - self.prevalence) * np.array(self.others)

    def predictive(self) -> FloatArray:
        """Share of each tier's patients who are diseased (k,); of an empty tier, the prevalence."""
        shares = self.shares()
        diseased = self.prevalence * np.array(self.diseased)
        found: FloatArray = np.divide(
            diseased, shares, out=np.full(len(shares), self.prevalence), where=shares > 0
        )
        return found


class Reading(Config):
    """The reading room. Emergencies are scans that nobody ranks: they interrupt every other reading."""

    readers: Annotated[int, Field(ge=1)] = 1
    utilisation: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.8, description="share of their time that readers read"
    )
    diseased_minutes: Minutes = 10.0
    other_minutes: Minutes = 10.0
    square: Annotated[float, Field(ge=1)] = Field(
        default=EXPONENTIAL,
        description="mean square of a reading time over its squared mean: 2 exponential, 1 always the same",
    )
    emergency_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    emergency_minutes: Minutes = 5.0
    interrupting: bool = Field(
        default=False, description="a scan of a higher tier interrupts the reading of a lower one"
    )

    def mean_minutes(self, prevalence: float) -> float:
        """Mean reading time over all arrivals."""
        ranked = prevalence * self.diseased_minutes + (1 - prevalence) * self.other_minutes
        return self.emergency_share * self.emergency_minutes + (1 - self.emergency_share) * ranked

    def per_minute(self, prevalence: float) -> float:
        """Rate of arrivals of all kinds that makes this utilisation."""
        return self.utilisation * self.readers / self.mean_minutes(prevalence)


@dataclass(frozen=True)
class Stream:
    """One class of arrivals: how many a minute, mean reading time, mean square of it (minutes squared).

    Streams of one `band` never interrupt each other; a lower number interrupts a higher one.
    """

    per_minute: float
    mean: float
    square: float
    band: int


def streams(triage: Triage, reading: Reading, *, one_time: bool = False) -> list[Stream]:
    """Return the classes in order: emergencies first where there are any, then the tiers.

    A tier holds diseased and other patients, so its reading time is a mixture of two. With `one_time` it is
    taken as one exponential time of the tier's mean, as QuCAD does.
    """
    rate = reading.per_minute(triage.prevalence)
    diseased, other, shape = reading.diseased_minutes, reading.other_minutes, reading.square
    found = []
    if reading.emergency_share:
        minutes = reading.emergency_minutes
        found.append(Stream(rate * reading.emergency_share, minutes, shape * minutes**2, 0))
    ranked = rate * (1 - reading.emergency_share)
    for tier, (share, positive) in enumerate(zip(triage.shares(), triage.predictive(), strict=True)):
        mean = float(positive * diseased + (1 - positive) * other)
        mixed = float(shape * (positive * diseased**2 + (1 - positive) * other**2))
        square = shape * mean**2 if one_time else mixed
        band = 1 + (tier if reading.interrupting else 0)
        found.append(Stream(float(ranked * share), mean, square, band))
    return found
