"""The reading order: what is urgent, the terms of the score, the tiers."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from shared.config import Config
from shared.study.fields import Fraction, Name, Positive

NETWORK_FEATURES = (
    "finding_probability",
    "volume_ml",
    "finding_count",
    "largest_diameter_mm",
    "sum_of_diameters_mm",
    "largest_volume_ml",
    "uncertainty",
)
"""What the network's findings give; `uncertainty` costs repeated readings, made only where a term asks."""

MapKind = Literal["none", "platt", "temperature", "beta", "isotonic"]
SiteIntercept = Literal["none", "own", "shrunk"]

OpenFraction = Annotated[float, Field(gt=0, lt=1)]


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

    `feature` is a network output (NETWORK_FEATURES) or a column of the patients table. With `level` the
    column holds words, and the value is 1 where it holds this one, 0 where it holds another. A value that is
    not recorded, or lies outside `lowest`..`highest` and is therefore not believed, contributes nothing
    (`missing: centre`) or what a coefficient of its own says (`missing: own_term`); either way it is named
    as missing. A site without the column has it missing for everybody.
    """

    feature: str
    level: str | None = Field(default=None, description="a column of words: 1 where it holds this word")
    kind: Literal["number", "flag"] = Field(default="number", description="flag: told as yes or no")
    transform: Literal["identity", "log1p", "logit"] = "identity"
    centre: float = 0.0
    scale: Positive = 1.0
    lowest: float | None = Field(default=None, description="a value below is taken for missing")
    highest: float | None = Field(default=None, description="a value above is taken for missing")
    missing: Literal["centre", "own_term"] = Field(
        default="centre", description="own_term: being missing has a coefficient of its own"
    )
    label: str | None = Field(default=None, description="how reasons name it; default: the feature")
    unit: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.lowest is not None and self.highest is not None and not self.lowest < self.highest:
            raise ValueError(f"expected lowest < highest, found {self.lowest}, {self.highest}")
        if self.level is not None and (self.transform != "identity" or self.feature in NETWORK_FEATURES):
            raise ValueError("a level belongs to a column of the patients table, without a transform")
        return self

    @property
    def name(self) -> str:
        """Name of its value and of its coefficient: the feature, or ``sex=F`` for a level."""
        return self.feature if self.level is None else f"{self.feature}={self.level}"

    @property
    def missing_name(self) -> str | None:
        """Name of the coefficient that a missing value has, where it has one."""
        return f"{self.name}:missing" if self.missing == "own_term" else None

    @property
    def is_flag(self) -> bool:
        """Whether its value is told as yes or no."""
        return self.kind == "flag" or self.level is not None

    @property
    def is_history(self) -> bool:
        """Whether the value comes from the patients table rather than from the network."""
        return self.feature not in NETWORK_FEATURES

    def believes(self, value: float) -> bool:
        """Whether a value lies within the plausible range."""
        return (self.lowest is None or value >= self.lowest) and (
            self.highest is None or value <= self.highest
        )


class Tiers(Config):
    """Lower probability bounds of FHIR's request priorities; below `urgent` is routine."""

    urgent: Fraction = 0.25
    asap: Fraction = 0.5
    stat: Fraction = 0.75

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.urgent <= self.asap <= self.stat:
            raise ValueError(
                f"expected urgent <= asap <= stat, found {self.urgent}, {self.asap}, {self.stat}"
            )
        return self


class Sensitivity(Config):
    """Share of urgent patients that each tier or one above it must hold, and for whom that is promised.

    `sites`: at each site, with `confidence` over the patients that happened to calibrate. `pooled`: over the
    mixture of all sites alone, which may fail a single one.
    """

    urgent: OpenFraction = 0.95
    asap: OpenFraction = 0.8
    stat: OpenFraction = 0.5
    protect: Literal["sites", "pooled"] = "sites"
    confidence: OpenFraction = 0.95

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.urgent > self.asap > self.stat:
            raise ValueError(f"expected urgent > asap > stat, found {self.urgent}, {self.asap}, {self.stat}")
        return self


def _intercept_kind(value: Any) -> Any:
    return {True: "own", False: "none"}[value] if isinstance(value, bool) else value


class Priority(Config):
    """The reading order: a logistic score fitted federatedly on the validation patients."""

    urgent: Urgent
    terms: tuple[Term, ...] = Field(min_length=1)
    ridge: float = Field(default=1e-4, ge=0, description="L2 penalty on all but the intercepts")
    site_intercept: Annotated[SiteIntercept, BeforeValidator(_intercept_kind)] = Field(
        default="shrunk", description="one for all sites, one a site, or one a site drawn to the common one"
    )
    folds: int = Field(default=5, ge=2, description="no patient is scored by a fit that saw it")
    calibration: tuple[MapKind, ...] = Field(
        default=("none", "platt", "temperature", "beta", "isotonic"),
        min_length=1,
        description="maps to choose from by held-out log loss",
    )
    max_steps: int = Field(default=25, ge=1, description="Newton steps")
    bins: int = Field(default=10, ge=2, description="equal-width probability bins for ECE")
    sensitivity: Sensitivity = Field(
        default=Sensitivity(), description="from which the tiers' bounds are calibrated"
    )
    tiers: Tiers | None = Field(default=None, description="fixed bounds instead; nothing is promised then")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [name for term in self.terms for name in (term.name, term.missing_name) if name]
        if len(set(names)) != len(names):
            raise ValueError(f"each feature may appear once, found {names}")
        if len(set(self.calibration)) != len(self.calibration):
            raise ValueError(f"each calibration may appear once, found {list(self.calibration)}")
        return self
