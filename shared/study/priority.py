"""The reading order: what is urgent, the terms of the score, the tiers."""

from typing import Literal, Self

from pydantic import Field, model_validator

from shared.config import Config
from shared.study.fields import Fraction, Name, Positive

NETWORK_FEATURES = ("finding_probability", "volume_ml", "finding_count")


class VolumeBound(Config):
    """Urgent by the reference segmentation: total volume of `classes` above or below a bound."""

    classes: tuple[Name, ...] | None = Field(default=None, description="None is all classes")
    above_ml: Positive | None = None
    below_ml: Positive | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.above_ml is None) == (self.below_ml is None):
            raise ValueError("give exactly one of above_ml and below_ml")
        return self


class Urgent(Config):
    """What "urgent" means: a 0/1 column of the patients table, or a bound on a label volume."""

    outcome: str | None = None
    volume: VolumeBound | None = None

    @model_validator(mode="after")
    def _one_definition(self) -> Self:
        if (self.outcome is None) == (self.volume is None):
            raise ValueError("give exactly one of outcome and volume")
        return self


class Term(Config):
    """One term of the priority score: coefficient * (transform(value) - centre) / scale.

    `feature` is a network output (finding_probability, volume_ml, finding_count) or a numeric column of
    the patients table. A missing value counts as `centre`, contributes nothing, and is named as missing.
    """

    feature: str
    transform: Literal["identity", "log1p", "logit"] = "identity"
    centre: float = 0.0
    scale: Positive = 1.0
    label: str | None = Field(default=None, description="how reasons name it; default: the feature")
    unit: str = ""

    @property
    def is_history(self) -> bool:
        """Whether the value comes from the patients table rather than from the network."""
        return self.feature not in NETWORK_FEATURES


class Tiers(Config):
    """Lower probability bounds of FHIR's request priorities; below `urgent` is routine."""

    urgent: Fraction = 0.25
    asap: Fraction = 0.5
    stat: Fraction = 0.75

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.urgent < self.asap < self.stat:
            raise ValueError(f"expected urgent < asap < stat, found {self.urgent}, {self.asap}, {self.stat}")
        return self


class Priority(Config):
    """The reading order: a logistic score fitted federatedly on the validation patients."""

    urgent: Urgent
    terms: tuple[Term, ...] = Field(min_length=1)
    ridge: float = Field(default=1e-3, ge=0, description="L2 penalty on all but the intercepts")
    site_intercept: bool = False
    max_steps: int = Field(default=25, ge=1, description="Newton steps")
    bins: int = Field(default=10, ge=2, description="equal-width probability bins for ECE")
    tiers: Tiers = Tiers()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [term.feature for term in self.terms]
        if len(set(names)) != len(names):
            raise ValueError(f"each feature may appear once, found {names}")
        return self
