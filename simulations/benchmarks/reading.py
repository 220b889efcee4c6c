"""A DICOM folder on its way to a prioritised, explained result, and what each step of the way takes.

The folder is read by what `wardround site predict` runs. The alternative does the least that any reader must:
it loads the series, brings it to the study's spacing and runs the same network over it.
"""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from monai.transforms import Compose, EnsureChannelFirst, LoadImage, NormalizeIntensity, Orientation, Spacing
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset

from client.data.preparing.preprocess import preprocess
from client.data.preparing.reading import Scan
from client.predict.run import Request, predict
from client.result import Result
from client.site import Site
from client.training import Span, train
from client.worklist import Worklist
from shared.errors import DataError
from shared.model import TrainedModel, initial_weights
from shared.priority import CalibratedPriority
from shared.randomness import generator
from shared.study import Study, Tiers
from simulations.anatomy import SHIFTS, draw_scan
from simulations.anatomy import Scan as DrawnScan
from simulations.benchmarks.comparison import Comparison
from simulations.benchmarks.hospitals import QUICKSTART, SEED, quickstart_study
from simulations.benchmarks.workload import OURS, interleaved
from simulations.scenario import Scenario
from simulations.shapes import Shape

THREADS = 2
BALL_MM = 15.0
BALL_CONTRAST = 2.0
"""The tumour of every scan: so large and, in units of average tissue, so bright that seconds of training
suffice to find it. A scan without findings would skip half the way."""

IN_PLANE_MM = 2.0  # of the study's grid
ALTERNATIVE = "MONAI: load, resample, infer"
COEFFICIENTS = {"intercept": -1.0}
ROOT = "1.2.826.0.1.3680043.8.498"  # of pydicom, for examples


@dataclass(frozen=True)
class Size:
    """One series of `shape` voxels (X, Y, Z) of `spacing_mm`, and the training that its model has had."""

    shape: Shape
    spacing_mm: tuple[float, float, float]
    window: Shape
    volumes: int
    epochs: int
    repeats: int

    @property
    def grid_mm(self) -> tuple[float, float, float]:
        """Spacing of the study's grid."""
        return IN_PLANE_MM, IN_PLANE_MM, self.spacing_mm[2]

    def study(self) -> Study:
        """Take the quickstart's study on whole scans, at 2 mm within the slice."""
        values = quickstart_study(
            preprocessing={"shape": None, "spacing_mm": self.grid_mm},
            training={"window": list(self.window)},
            evaluation={"inference": "sliding"},  # as the alternative does
        ).model_dump(mode="json")
        priority = Scenario.read(QUICKSTART).study.model_dump(mode="json")["priority"]
        return Study.parse({**values, "priority": priority}, "the study of the benchmark")


def measure(size: Size, folder: Path) -> tuple[Comparison, ...]:
    """Write the series, train the model, then read the series again and again in either way.

    Raises
    ------
    DataError
        The model found nothing, so that nothing was measured, explained and drawn.
    """
    model = quick_model(size)
    write_series(size, folder / "series")
    results: list[Result] = []
    numbers = itertools.count()
    net = model.network()
    ways: dict[str, Callable[[], object]] = {
        OURS: lambda: results.append(_read(model, folder / "series", folder / f"work-{next(numbers)}")),
        ALTERNATIVE: lambda: _inferred(net, model.study, folder / "series"),
    }
    with _threads(THREADS):
        seconds = interleaved(ways, size.repeats)
    if not all(result.findings for result in results):
        raise DataError(
            "the model of the benchmark found nothing in its series, so that the time would be that of half "
            "the way. Train it for longer: `volumes` and `epochs` of its Size."
        )
    shape = "x".join(map(str, size.shape))
    return (
        Comparison(
            measure="DICOM folder to an explained, prioritised result",
            unit="s",
            better="lower",
            samples=seconds,
            note=f"{shape[: shape.rfind('x')]} pixels, {size.shape[2]} slices, {THREADS} threads, "
            f"{os.cpu_count()} cores; findings: {len(results[-1].findings)}; ours also finds, measures, "
            f"explains, lists and writes NIfTI, DICOM SEG and SR; its steps: {shares(results)}",
        ),
    )


def shares(results: list[Result]) -> str:
    """Say each step's median seconds and its share of all steps."""
    steps = {name: median(result.seconds[name] for result in results) for name in results[0].seconds}
    total = sum(steps.values())
    return ", ".join(f"{name} {s:.2f} s ({100 * s / total:.0f} %)" for name, s in steps.items())


def quick_model(size: Size) -> TrainedModel:
    """Train the study's network on windows of a few phantoms as large as the series."""
    study = size.study()
    rng = generator(SEED, "reading")
    cases = [_prepared(rng, size, study) for _ in range(size.volumes)]
    trained = train(initial_weights(study), cases, study, epochs=size.epochs, span=Span(0, 1), rng=rng)
    if study.priority is None:
        raise DataError("the study of the benchmark has no priority; the quickstart's has one.")
    slopes = {term.feature: 1.0 for term in study.priority.terms}
    priority = CalibratedPriority(
        terms=study.priority.terms,
        coefficients={**COEFFICIENTS, **slopes},
        standard_errors=dict.fromkeys({**COEFFICIENTS, **slopes}, 0.1),
        tiers=Tiers(),
        patients=100,
        study=study.digest(),
    )
    return TrainedModel(study, trained.weights, priority)


def _prepared(rng: np.random.Generator, size: Size, study: Study) -> tuple[np.ndarray, np.ndarray]:
    """Draw a phantom on the study's grid: image (1, X, Y, Z) and label (X, Y, Z)."""
    steps = zip(size.shape, size.spacing_mm, size.grid_mm, strict=True)
    x, y, z = (round(voxels * spacing / grid) for voxels, spacing, grid in steps)
    drawn = _drawn(rng, (x, y, z), size.grid_mm)
    affine = np.diag([*size.grid_mm, 1.0])
    scan = Scan((drawn.image,), affine, drawn.label, None, (x, y, z), affine)
    found = preprocess(scan, study.preprocessing, study.task, study.model)
    return found.image, np.asarray(found.label)


def _drawn(rng: np.random.Generator, shape: Shape, spacing_mm: tuple[float, float, float]) -> DrawnScan:
    """Draw a phantom without tumours, and put a bright ball somewhere into its middle."""
    shift = SHIFTS[0].model_copy(update={"spacing_mm": spacing_mm, "prevalence": 0.0})
    scan = draw_scan(rng, shift, shape)
    centre = rng.uniform(0.4, 0.6, 3) * shape
    axes = np.ogrid[tuple(slice(0, side) for side in shape)]
    square_mm = sum(((axis - c) * mm) ** 2 for axis, c, mm in zip(axes, centre, spacing_mm, strict=True))
    ball = np.asarray(square_mm) < BALL_MM**2
    bright = BALL_CONTRAST * shift.intensity_scale * ball.astype(np.float32)
    return DrawnScan(image=scan.image + bright, label=ball.astype(np.uint8))


def write_series(size: Size, folder: Path) -> None:
    """Write a phantom as a CT series, one file a slice, nobody's; drawn at half the resolution in plane."""
    folder.mkdir(parents=True)
    x, y, slices = size.shape
    coarse_mm = (2 * size.spacing_mm[0], 2 * size.spacing_mm[1], size.spacing_mm[2])
    scan = _drawn(generator(SEED, "series"), (x // 2, y // 2, slices), coarse_mm)
    voxels = np.clip(np.rint(scan.image), -32768, 32767).astype(np.int16).repeat(2, 0).repeat(2, 1)
    for index in range(size.shape[2]):
        plane = voxels[..., index].T
        image = Dataset()
        image.SOPClassUID, image.SOPInstanceUID = uid.CTImageStorage, f"{ROOT}.7.{index + 1}"
        image.StudyInstanceUID, image.SeriesInstanceUID = f"{ROOT}.8", f"{ROOT}.9"
        image.FrameOfReferenceUID, image.Modality = f"{ROOT}.6", "CT"
        image.PatientName, image.PatientID, image.InstanceNumber = "Nobody", "nobody", index + 1
        image.Rows, image.Columns = plane.shape
        image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = (
            1,
            "MONOCHROME2",
            1,
        )
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
        image.PixelSpacing = [size.spacing_mm[1], size.spacing_mm[0]]
        image.SliceThickness = size.spacing_mm[2]
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        image.ImagePositionPatient = [-180, -180, index * size.spacing_mm[2]]
        image.RescaleSlope, image.RescaleIntercept = 1, 0
        image.PixelData = plane.tobytes()
        image["PixelData"].VR = "OW"
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        image.save_as(folder / f"{index:04d}.dcm", enforce_file_format=True)


def _read(model: TrainedModel, series: Path, work: Path) -> Result:
    """Do what the command does, the worklist included."""
    site = Site(name="benchmark", data=series, work=work, threads=THREADS)
    listing: dict[str, float] = {}

    def listed(result: Result, path: Path) -> None:
        start = time.perf_counter()
        with closing(Worklist.open(site)) as worklist:
            worklist.put(result, path=path)
        listing["worklist"] = time.perf_counter() - start

    done = predict(site, model, Request((series,), history={"age": "70"}), done=listed)
    if done.failed:
        raise DataError(f"the series of the benchmark cannot be read: {done.failed[0]}")
    result = done.read[0].result
    return result.model_copy(update={"seconds": {**result.seconds, **listing}})


@torch.inference_mode()
def _inferred(net: torch.nn.Module, study: Study, series: Path) -> object:
    steps = Compose(
        [
            LoadImage(image_only=True, reader="PydicomReader"),
            EnsureChannelFirst(),
            Orientation("RAS", labels=None),
            Spacing(study.preprocessing.spacing_mm),
            NormalizeIntensity(),
        ]
    )
    image = steps(str(series)).as_tensor()[None]
    return sliding_window_inference(
        image, study.training.window, 4, net, overlap=study.evaluation.overlap, mode="gaussian"
    )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
