"""What is segmented, and how a file becomes the network's input."""

from typing import Literal, Self

from pydantic import Field, model_validator

from shared.config import Config
from shared.study.fields import Name, Size, Triple


class Task(Config):
    """What is segmented. Label 0 is background; class i gathers the file values in `labels[i]`."""

    channels: tuple[Name, ...] = Field(
        default=("image",),
        min_length=1,
        description="what each case must have, stacked in this order; a study of one takes the only image",
    )
    classes: tuple[Name, ...] = Field(min_length=1, max_length=250)
    labels: tuple[tuple[int, ...], ...] | None = Field(
        default=None, description="file label values per class; default: 1, 2, ... one value each"
    )
    finding: tuple[Name, ...] | None = Field(
        default=None, description="classes that together count as a finding; default: all of them"
    )
    truth: Literal["label", "points", "region"] = Field(
        default="label",
        description="label: every voxel is labelled. points: a table of labelled points, else unknown. "
        "region: the mask of what is looked at, such as the lungs",
    )
    minimum_finding_ml: float = Field(
        default=0.0, ge=0, description="smaller connected predictions are not findings"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.channels)) != len(self.channels):
            raise ValueError(f"each channel may be named once, found {list(self.channels)}")
        if self.labels is not None and len(self.labels) != len(self.classes):
            raise ValueError(f"labels has {len(self.labels)} entries for {len(self.classes)} classes")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"each class may be named once, found {list(self.classes)}")
        if not all(self.label_values):
            raise ValueError(f"each class needs at least one label value, found {self.label_values}")
        values = [value for group in self.label_values for value in group]
        if any(value < 1 for value in values) or len(set(values)) != len(values):
            raise ValueError(f"label values must be distinct and at least 1, found {values}")
        if unknown := set(self.finding_classes) - set(self.classes):
            raise ValueError(f"finding names {sorted(unknown)}, not among classes {list(self.classes)}")
        return self

    @property
    def label_values(self) -> tuple[tuple[int, ...], ...]:
        """File label values of each class, in the order of `classes`."""
        return self.labels or tuple((i + 1,) for i in range(len(self.classes)))

    @property
    def finding_classes(self) -> tuple[str, ...]:
        """Names of the classes whose presence is a finding."""
        return self.finding or self.classes


class Intensity(Config):
    """How intensities become network input: z-score over the foreground, or a CT window to 0..1.

    robust_zscore takes median and interquartile range / 1.349 for mean and standard deviation.
    """

    kind: Literal["zscore", "robust_zscore", "ct_window"] = "zscore"
    low_hu: float = -160.0
    high_hu: float = 240.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low_hu >= self.high_hu:
            raise ValueError(f"low_hu {self.low_hu} must be below high_hu {self.high_hu}")
        return self


class Preprocessing(Config):
    """From a file to the common grid. The order is: RAS, spacing, intensity, foreground, slices, shape."""

    spacing_mm: Triple | None = Field(default=None, description="None keeps each scan's own spacing")
    intensity: Intensity = Intensity()
    crop_foreground: bool = True
    slices: int | None = Field(
        default=None, ge=1, description="axial slices of every patient; a shorter series is padded"
    )
    long_series: Literal["resample", "groups"] = Field(
        default="resample",
        description="a longer series: interpolate, or average as many equal groups of slices",
    )
    shape: Size | None = Field(default=None, description="centre crop or zero pad to these common dimensions")


class Requirements(Config):
    """What a site must have to take part; `wardround site check SITE STUDY` says what is missing."""

    minimum_patients: int = Field(default=1, ge=1)
    classes: tuple[Name, ...] = Field(default=(), description="each in the label of one case at least")
