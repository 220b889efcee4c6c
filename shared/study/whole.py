"""The Study, whole: read from YAML, and its parts checked against each other."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from shared.config import Config, read_yaml
from shared.study.fields import Name
from shared.study.judging import Evaluation
from shared.study.learning import Model, Privacy, Strategy, Training
from shared.study.priority import Priority
from shared.study.scans import Preprocessing, Requirements, Task


class Study(Config):
    """One federated run, in full. A site that trains under it has read all of this and nothing else."""

    name: Name
    seed: int = Field(default=0, ge=0)
    start: Literal["random", "phantoms"] = Field(
        default="random", description="phantoms: pre-train on public synthetic volumes first"
    )
    task: Task
    requires: Requirements = Requirements()
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

    @property
    def calibrates_voxels(self) -> bool:
        """Whether a temperature of the segmentation's probabilities is fitted: points alone are no truth."""
        return self.evaluation.voxel_temperature and self.task.truth != "points"

    @model_validator(mode="after")
    def _classes_known(self) -> Self:
        if unknown := set(self.requires.classes) - set(self.task.classes):
            raise ValueError(f"requires.classes names {sorted(unknown)}, not among {list(self.task.classes)}")
        return self

    @model_validator(mode="after")
    def _read_more_than_once(self) -> Self:
        if self.model.dimensions == 2 and "z" in self.evaluation.flips:
            raise ValueError("evaluation.flips names z: a 2-D model reads each slice alone, so it is no flip")
        terms = () if self.priority is None else self.priority.terms
        if any(term.feature == "uncertainty" for term in terms) and not self.evaluation.flips:
            raise ValueError(
                "the term uncertainty needs evaluation.flips: the axes along which scans are mirrored"
            )
        return self

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
