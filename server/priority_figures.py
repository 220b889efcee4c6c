"""The figures of the priority's fit and calibration, as frozen objects of results.json."""

from typing import Annotated, Literal

from pydantic import Field

from server.scores import Count, Fraction, Interval, ReliabilityFigures
from shared.config import Config
from shared.study import MapKind

NotNegative = Annotated[float, Field(ge=0)]


class Coefficient(Config):
    """One term of the priority score, in log-odds per unit of the term."""

    estimate: float
    standard_error: NotNegative | None = Field(description="None where the patients do not determine it")
    truth: float | None = Field(default=None, description="where the data were simulated")


class Candidate(Config):
    """One calibration map: log loss in nats on patients that it had not seen."""

    kind: MapKind
    log_loss: NotNegative
    above_best: NotNegative
    standard_error: NotNegative = Field(description="of above_best, patient by patient")


class ChosenMap(Config):
    """Which calibration map is used and why; no candidates where none could be judged."""

    kind: MapKind
    why: str
    candidates: tuple[Candidate, ...] = ()
    patients: Count = Field(description="that judged the candidates")
    parameters: tuple[float, ...]
    bin_bound: NotNegative | None = Field(
        default=None, description="isotonic only: what binning can have cost, in nats a patient"
    )


class BrierParts(Config):
    """brier = reliability - resolution + uncertainty + within_bins (Murphy 1973; Stephenson et al. 2008)."""

    brier: NotNegative
    reliability: NotNegative = Field(description="0 is ideal")
    resolution: NotNegative = Field(description="more is better")
    uncertainty: NotNegative = Field(description="of the outcome itself")
    within_bins: float


class Detection(Config):
    """What a bound did on test patients: shares of urgent ones above it, of the others below it."""

    threshold: Fraction = Field(description="lowest probability that is above")
    rule: Literal["site", "pooled", "lowest", "fixed"]
    sensitivity: Fraction | None
    sensitivity_interval: Interval | None = Field(description="95 % Wilson interval")
    specificity: Fraction | None
    specificity_interval: Interval | None = Field(description="95 % Wilson interval")


class SiteCalibration(Config):
    """One site: its part in the fit, and its test patients. None: not released, or not determined."""

    patients: Count = Field(description="that the fit saw")
    urgent: Count = Field(description="how many of them were urgent")
    in_folds: Count = Field(description="how many of them could be scored by a fit that had not seen them")
    intercept: float = Field(description="log-odds")
    after: ReliabilityFigures | None = Field(description="on test patients, by the calibrated score")
    in_the_large: float | None = Field(description="log-odds; 0 is ideal, above it scores are too low")
    in_the_large_error: NotNegative | None
    slope: float | None = Field(description="1 is ideal, below it scores are too extreme")
    slope_error: NotNegative | None
    tiers: dict[str, Detection]
    pooled_tiers: dict[str, Detection] = Field(
        description="what one rule for the mixture of all sites would have done; empty where bounds are fixed"
    )
    guarantee: str


class ScoreCounts(Config):
    """Test patients by calibrated log-odds: below edges[0], in between, from edges[-1] on."""

    edges: tuple[float, ...]
    positives: tuple[Count, ...] = Field(description="urgent patients of all sites that released counts")
    negatives: tuple[Count, ...]


class Calibration(Config):
    """The federated priority fit, judged before and after on the same kind of sums."""

    before: ReliabilityFigures
    after: ReliabilityFigures
    coefficients: dict[str, Coefficient]
    thresholds: dict[str, Fraction] = Field(
        description="lowest probability of each tier, at a site that has no bounds of its own"
    )
    steps: Count
    converged: bool
    patients: Count = Field(description="patients the fit saw")
    urgent: Count = Field(description="how many of them were urgent")
    between_sites: NotNegative | None = Field(
        default=None, description="variance of the sites' intercepts, squared log-odds; None: not shrunk"
    )
    map: ChosenMap | None = None
    brier_before: BrierParts | None = None
    brier_after: BrierParts | None = None
    sites: dict[str, SiteCalibration] = Field(default={}, description="those that the fit saw")
    guarantees: dict[str, str] = Field(default={}, description="what each tier's bounds promise, and to whom")
    scores: ScoreCounts | None = Field(default=None, description="None where no site released counts")
