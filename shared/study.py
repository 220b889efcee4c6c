"""The Study: what every site signs up to, read from YAML, frozen, unknown keys refused.

Lengths are millimetres, volumes millilitres, times seconds. Spatial triples are in RAS order
(right-left, posterior-anterior, inferior-superior), so the last axis counts axial slices.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.config import Config, read_yaml

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Triple = tuple[Positive, Positive, Positive]
Size = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]

NETWORK_FEATURES = ("finding_probability", "volume_ml", "finding_count")


class Task(Config):
    """What is segmented. Label 0 is background; class i gathers the file values in `labels[i]`."""

    classes: tuple[Name, ...] = Field(min_length=1)
    labels: tuple[tuple[int, ...], ...] | None = Field(
        default=None, description="file label values per class; default: 1, 2, ... one value each"
    )
    finding: tuple[Name, ...] | None = Field(
        default=None, description="classes that together count as a finding; default: all of them"
    )
    minimum_finding_ml: float = Field(
        default=0.0, ge=0, description="smaller connected predictions are not findings"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
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
    """How intensities become network input: z-score over the foreground, or a CT window to 0..1."""

    kind: Literal["zscore", "ct_window"] = "zscore"
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
        default=None, ge=1, description="resample the last axis to this many slices for every patient"
    )
    shape: Size | None = Field(default=None, description="centre crop or zero pad to these common dimensions")


class Model(Config):
    """A MONAI U-Net; `dimensions: 2` treats every axial slice as an image."""

    dimensions: Literal[2, 3] = 3
    channels: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(16, 32, 64), min_length=2)
    residual_units: int = Field(default=1, ge=0)
    norm: Literal["instance", "group"] = "instance"

    @property
    def stride(self) -> int:
        """Every spatial size fed to the network must be a multiple of this."""
        return int(2 ** (len(self.channels) - 1))


class Training(Config):
    """Local training. One-cycle learning rate over the whole run, so that a round knows its place in it."""

    rounds: int = Field(default=5, ge=1)
    local_epochs: int = Field(default=1, ge=1)
    batch_size: int = Field(default=2, ge=1)
    window: Size = (32, 32, 32)
    tumour_fraction: Fraction = Field(
        default=0.5, description="share of windows centred on a labelled voxel, where the case has one"
    )
    flip: bool = Field(default=False, description="mirror windows left-right at random")
    learning_rate: Positive = 2e-3
    weight_decay: float = Field(default=1e-5, ge=0)


class Strategy(Config):
    """How updates become the next model, and when a round is valid."""

    name: Literal["fedavg", "fedprox", "fedadam"] = "fedavg"
    proximal_mu: float = Field(default=0.01, ge=0, description="fedprox: mu/2 * ||w - w_round||^2")
    server_learning_rate: Positive = Field(default=0.01, description="fedadam")
    beta_1: Fraction = Field(default=0.9, description="fedadam")
    beta_2: Fraction = Field(default=0.99, description="fedadam")
    tau: Positive = Field(default=1e-3, description="fedadam: adaptivity floor")
    quorum: int = Field(default=2, ge=1, description="sites that must contribute to a valid round")
    deadline_s: Positive = Field(default=3600.0, description="later replies of a round are not used")
    max_update_norm: Positive = Field(default=1e4, description="an update with a larger L2 norm is refused")


class Privacy(Config):
    """Differentially private training at each site; epsilon holds over all rounds of the run."""

    unit: Literal["patient"] = "patient"
    epsilon: Positive
    delta: Annotated[float, Field(gt=0, lt=1)]
    clip: Positive = Field(default=1.0, description="L2 bound on one patient's gradient")


class Evaluation(Config):
    """Which scans judge the model, and how finely scores are binned."""

    validation_fraction: Fraction = 0.2
    test_fraction: Fraction = 0.2
    split_salt: str = Field(default="wardround", description="change it to draw another split")
    inference: Literal["whole", "sliding"] = "whole"
    overlap: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.25, description="sliding windows")
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    score_bins: int = Field(default=100, ge=2, description="histogram bins for AUROC")
    round_cases: int | None = Field(
        default=None, ge=1, description="validation cases scored after each round; None is all of them"
    )

    @model_validator(mode="after")
    def _room_to_train(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction + test_fraction must leave something to train on")
        return self


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


class Study(Config):
    """One federated run, in full. A site that trains under it has read all of this and nothing else."""

    name: Name
    seed: int = Field(default=0, ge=0)
    start: Literal["random", "phantoms"] = Field(
        default="random", description="phantoms: pre-train on public synthetic volumes first"
    )
    task: Task
    preprocessing: Preprocessing = Preprocessing()
    model: Model = Model()
    training: Training = Training()
    strategy: Strategy = Strategy()
    privacy: Privacy | None = None
    evaluation: Evaluation = Evaluation()
    priority: Priority | None = None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a study's YAML file, or the study inside a scenario's."""
        values = read_yaml(path)
        inside = isinstance(values, dict) and isinstance(values.get("study"), dict)
        return cls.parse(values["study"] if inside else values, str(path))

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        stride = self.model.stride
        sizes = [("training.window", self.training.window)]
        if self.preprocessing.shape is not None:
            sizes.append(("preprocessing.shape", self.preprocessing.shape))
        for key, size in sizes:
            checked = size[: self.model.dimensions]
            if any(side % stride for side in checked):
                raise ValueError(
                    f"{key} {list(size)} must be multiples of {stride} ({len(self.model.channels)} levels)"
                )
        if self.model.dimensions == 2 and self.training.window[2] != 1:
            raise ValueError(
                "a 2-D model trains on single slices: training.window must end in 1, "
                f"found {self.training.window[2]}"
            )
        if self.preprocessing.shape is not None and any(
            w > s for w, s in zip(self.training.window, self.preprocessing.shape, strict=True)
        ):
            raise ValueError("training.window must fit into preprocessing.shape")
        return self
