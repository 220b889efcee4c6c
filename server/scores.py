"""The figures of one model on one set of scans, as frozen objects: each key of what `shared` computes."""

from typing import Annotated

from pydantic import Field

from shared.config import Config

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Interval = tuple[Fraction, Fraction]


class SegmentationFigures(Config):
    """What one model scores on one set of scans: `shared.metrics.finish_segmentation`, key for key."""

    scans: Count
    dice: Fraction | None = Field(description="mean over classes of the mean over scans; both empty counts 1")
    dice_by_class: dict[str, Fraction | None]
    dice_variance_by_class: dict[str, Annotated[float, Field(ge=0)] | None] = Field(
        description="population variance over scans"
    )
    dice_on_positive: Fraction | None = Field(description="as dice, over scans that hold the class")
    dice_on_positive_by_class: dict[str, Fraction | None]
    voxel_dice_by_class: dict[str, Fraction | None] = Field(description="all scans laid side by side")
    sensitivity: Fraction | None = Field(description="scans with a finding that are called positive")
    specificity: Fraction | None = Field(description="scans without a finding that are called negative")
    sensitivity_interval: Interval | None = Field(description="95 % Wilson interval")
    specificity_interval: Interval | None = Field(description="95 % Wilson interval")
    auroc: Fraction | None
    auroc_bound: Fraction | None = Field(description="largest error that binning the scores can cause")
    prevalence: Fraction | None = Field(description="share of scans with a finding")
    az: Fraction | None = Field(
        default=None, description="area under the ROC curve over labelled points, where these are the truth"
    )
    az_bound: Fraction | None = Field(default=None, description="as auroc_bound")

    @property
    def positives(self) -> int:
        """Scans with a finding; 0 where points cannot say."""
        return round(self.scans * (self.prevalence or 0))

    @property
    def negatives(self) -> int:
        """Scans without a finding; 0 where points cannot say."""
        return 0 if self.prevalence is None else self.scans - self.positives


class ReliabilityBin(Config):
    """One equal-width probability bin; an empty one has no means."""

    lower: Fraction
    upper: Fraction
    n: Count
    mean_probability: Fraction | None
    observed: Fraction | None = Field(description="share of these patients that were urgent")


class ReliabilityFigures(Config):
    """How far probabilities can be taken at their word: `shared.reliability.finish_reliability`."""

    n: Count
    ece: Fraction | None = Field(description="expected calibration error")
    mce: Fraction | None = Field(description="largest calibration error of a bin")
    brier: Fraction | None
    log_loss: Annotated[float, Field(ge=0)] | None
    prevalence: Fraction | None
    mean_probability: Fraction | None
    bins: tuple[ReliabilityBin, ...]


class VoxelFigures(Config):
    """How far the probability map can be believed: `shared.voxel_temperature.judge`, key for key.

    Shares of voxels are means over patients.
    """

    patients: Count
    ece: Fraction | None = Field(description="expected calibration error, over ten bins of equal width")
    log_loss: Annotated[float, Field(ge=0)] | None = Field(description="nats a voxel")
    called: Fraction | None = Field(description="share of voxels with a probability above 0.5")
    called_probability: Fraction | None = Field(description="mean probability of those")
    called_observed: Fraction | None = Field(description="share of those that belong to a finding")
    called_log_loss: Annotated[float, Field(ge=0)] | None = Field(description="nats a voxel, of those")


class VoxelCalibration(Config):
    """The temperature of the segmentation's probabilities, judged on test patients before and after.

    `judged` names the sites whose test patients these are; without any there is no before and no after.
    """

    temperature: Annotated[float, Field(gt=0)] | None = Field(
        description="above 1: the network was too sure; None: no finite one fits, as of a network that says "
        "no better than chance what a finding is"
    )
    used: bool = Field(
        description="false: it would raise the log loss of the voxels called a finding, on the patients that "
        "it was fitted on; the model has none then"
    )
    low: Annotated[float, Field(gt=0)] | None = Field(description="bins leave open where in low..high it is")
    high: Annotated[float, Field(gt=0)] | None
    patients: Count = Field(description="validation patients that the fit saw")
    sites: tuple[str, ...] = Field(description="whose patients those are")
    judged: tuple[str, ...]
    before: VoxelFigures | None
    after: VoxelFigures | None
