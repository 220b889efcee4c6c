"""One scan through the whole way: read, prepare, network, findings, priority, files, explanation."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from client.data.layouts.base import Listed
from client.data.preparing.preprocess import Prepared, preprocess
from client.data.preparing.reading import read_unlabelled
from client.data.volumes import Affine, spacing_mm
from client.findings import Findings, find
from client.predict.dicom_files import write_dicom_files
from client.predict.masks import Masks, write_mask
from client.predict.source import SOURCE, SourceFiles
from client.priority_found import priority_found
from client.reasons.explaining import explain
from client.result import Result, Versions
from client.site import Site
from client.uncertainty import AXES, doubted, read
from client.uncertainty import Readings as ScanReadings
from shared import __version__
from shared.model import TrainedModel, digest, get_weights

RESULT = "result.json"
MASK = "mask.nii.gz"
PROBABILITY = "probability.nii.gz"
MADE_OF = "wardround.prediction/2"
OFF_RIGHT_ANGLE = 1e-3  # cosine


@dataclass(frozen=True)
class Asked:
    """One scan to read: its files, whose it is, and the medical history that is known."""

    item: Listed
    patient: str
    history: Mapping[str, float]


@dataclass
class Steps:
    """Seconds of each step, in order."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Count the time of the block to the step `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class Readings:
    """How each scan is read beyond once: by further networks, mirrored for its uncertainty, explained."""

    others: Sequence[nn.Module] = ()
    uncertainty: bool = False
    explained: bool = True


class Reader:
    """A model at a site, ready to read scans one after the other.

    Findings and priority come from the model alone, read as it was when it was calibrated; what `readings`
    adds says how sure that is.
    """

    def __init__(self, model: TrainedModel, site: Site, readings: Readings | None = None) -> None:
        self._model, self._site, self._readings = model, site, readings or Readings()
        self._net = model.network().to(site.device)
        self._others = [net.to(site.device) for net in self._readings.others]
        self.versions = Versions(
            wardround=__version__,
            study=model.study.name,
            study_digest=model.study.digest(),
            weights_digest=digest(model.weights),
            calibration_digest=None if model.priority is None else model.priority.digest(),
            voxel_temperature=None if model.temperature is None else model.temperature.temperature,
        )
        if model.priority is not None:
            model.priority.coefficients_at(site.name)  # one that is not for this site is found out here

    def source(self, asked: Asked) -> SourceFiles:
        """Return which files would be read; raises as `SourceFiles.of`."""
        return SourceFiles.of(asked.item, self._model.study.task.channels, self._site.limits)

    def source_digest(self, asked: Asked, source: SourceFiles) -> str:
        """SHA-256 of the files that would be read and of all else that decides the result."""
        site = self._site
        parts = [
            MADE_OF,
            asked.item.case,
            asked.patient,
            source.sha256,
            source.components,
            sorted(asked.history.items()),
            self.versions.model_dump(),
            site.name,
            [digest(get_weights(net)) for net in self._others],
            [self._readings.uncertainty, self._readings.explained],
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def read(self, asked: Asked, folder: Path, source: SourceFiles) -> Result:
        """Read one scan and write all that is known of it into `folder`, `result.json` last.

        Raises
        ------
        CaseError
            As `read_channels`, `preprocess` and `priority_found`.
        """
        study, steps, priority = self._model.study, Steps(), None
        prepared, shape, affine = self._prepared(asked.item, steps)
        with steps.step("network"):
            readings = read([self._net], prepared.image, study, flips=study.evaluation.flips)
        with steps.step("findings"):
            found = find(
                readings.probabilities,
                study,
                affine=prepared.affine,
                source_shape=shape,
                source_affine=affine,
            )
            if self._model.temperature is not None:
                # For the eye alone: the map, and the probabilities told of findings. Mask and features stay
                # those of the network as it is, for with them the study's threshold was set and the score
                # fitted; a score of other features would not be the one that was calibrated.
                found = replace(found, score=self._model.temperature.of(found.score))
            features = {**asked.history, **doubted(found, readings).features}
            masks = Masks.of(found, prepared.affine, shape, affine)
        with steps.step("uncertainty"):
            found = self._doubted(found, readings, prepared.image)
            del readings
        with steps.step("priority"):
            if self._model.priority is not None:
                priority = priority_found(self._model.priority, features, site=self._site.name)
        warnings = [] if priority else ["the model has no calibration: findings without a priority"]
        if _is_sheared(affine):
            warnings.append(f"the slices are shifted (tilted gantry): programs built on ITK refuse {MASK}")
        result = Result(
            schema="wardround.result/1",
            case=asked.item.case,
            patient=asked.patient,
            source_digest=self.source_digest(asked, source),
            versions=self.versions,
            made=datetime.now(UTC),
            classes=study.task.classes,
            findings=found.findings,
            sum_of_diameters_mm=found.sum_of_diameters_mm,
            uncertainty=found.uncertainty,
            features=features,
            priority=priority,
            warnings=tuple(warnings),
        )
        with steps.step("files"):
            files = {"mask": MASK, "probability": PROBABILITY, "source": SOURCE}
            source.write(folder / SOURCE)
            write_mask(folder / MASK, masks.classes, affine)
            write_mask(folder / PROBABILITY, masks.percent, affine)
        with steps.step("DICOM files"):
            result, more = write_dicom_files(
                folder, asked.item, masks, result, task=study.task, limits=self._site.limits
            )
            files |= more
        with steps.step("explanation"):
            if self._readings.explained:
                result, more = self._explain(folder, result, found, prepared)
                files |= more
        result = result.model_copy(update={"files": files, "seconds": steps.seconds})
        result.write(folder / RESULT)
        return result

    def _doubted(self, found: Findings, readings: ScanReadings, image: npt.NDArray[np.float32]) -> Findings:
        """Add how sure the findings are, by the readings that were asked for on top."""
        study = self._model.study
        if not (self._others or self._readings.uncertainty):
            return doubted(found, readings)
        flips = study.evaluation.flips
        if self._readings.uncertainty:
            flips = flips or AXES[: study.model.dimensions]
        return doubted(found, read([self._net, *self._others], image, study, flips=flips))

    def _explain(
        self, folder: Path, result: Result, found: Findings, prepared: Prepared
    ) -> tuple[Result, dict[str, str]]:
        """Write the page; one that cannot be made is a warning, for the result stands without it."""
        try:
            files = explain(
                folder,
                result,
                self._net,
                self._model.study,
                image=prepared.image,
                score=found.score,
                numbers=found.components,
                affine=prepared.affine,
            )
        except OSError:
            raise
        except Exception as error:
            text = f"no page could be made: {type(error).__name__}: {error}"
            return result.model_copy(update={"warnings": (*result.warnings, text)}), {}
        return result, files

    def _prepared(self, item: Listed, steps: Steps) -> tuple[Prepared, tuple[int, int, int], Affine]:
        """Bring a scan onto the study's grid; also shape and affine of its files."""
        study = self._model.study
        with steps.step("read"):
            scan = read_unlabelled(item, study.task, self._site.limits)
        with steps.step("prepare"):
            prepared = preprocess(scan, study.preprocessing, study.task, study.model)
        return prepared, scan.source_shape, np.asarray(scan.source_affine)


def _is_sheared(affine: Affine) -> bool:
    """Whether two axes of the scan are not at right angles."""
    axes = affine[:3, :3] / spacing_mm(affine)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > OFF_RIGHT_ANGLE)
