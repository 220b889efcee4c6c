"""Which scans judge the model."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.config import Config
from shared.study.fields import Axis, Fraction


class Evaluation(Config):
    """Which scans judge the model, and how finely scores are binned."""

    validation_fraction: Fraction = 0.2
    test_fraction: Fraction = 0.2
    split_salt: str = Field(default="wardround", description="change it to draw another split")
    turn: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="turns the parts on: K turns by test_fraction 1/K test everybody once"
    )
    inference: Literal["whole", "sliding"] = "whole"
    overlap: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.25, description="sliding windows")
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    flips: tuple[Axis, ...] = Field(
        default=(),
        description="the final model also reads each scan mirrored along these axes, once each: the mean "
        "counts, and how far the readings differ is the uncertainty",
    )
    acceptable_dice: Fraction = Field(
        default=0.7, description="a scan outlined worse counts as an error of the model"
    )
    score_bins: int = Field(default=100, ge=2, description="histogram bins for AUROC")
    voxel_temperature: bool = Field(
        default=True,
        description="calibrate the probability map: sites release how often voxels of each log-odds are "
        "right; needs a truth for every voxel",
    )
    round_cases: int | None = Field(
        default=None, ge=1, description="validation cases scored after each round; None is all of them"
    )

    @model_validator(mode="after")
    def _each_axis_once(self) -> Self:
        if len(set(self.flips)) != len(self.flips):
            raise ValueError(f"flips may name each axis once, found {list(self.flips)}")
        return self

    @model_validator(mode="after")
    def _room_to_train(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction + test_fraction must leave something to train on")
        return self
