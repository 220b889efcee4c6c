"""The way to the first batch, and what a prepared case costs to read, beside MONAI and nibabel."""

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np

from client.data.cache import SiteData
from client.data.windows import epoch
from client.training import tensors
from shared.randomness import generator
from simulations.benchmarks.comparison import Comparison
from simulations.benchmarks.hospitals import SEED
from simulations.benchmarks.workload import LOADERS, OURS, Size, Workload, interleaved, mapped_cases


def measure(work: Workload, size: Size, folder: Path) -> tuple[Comparison, ...]:
    """Prepare the hospital again and again, in new caches below `folder` and in those that are there."""
    others: dict[str, Callable[[], object]] = {name: partial(_first_of, work, name) for name in LOADERS}
    new = (folder / f"cache-{number}" for number in itertools.count())
    first = interleaved({OURS: lambda: _first_batch(work, next(new)), **others}, size.preparations)
    again = interleaved({OURS: lambda: _first_batch(work, folder / "cache-0"), **others}, size.preparations)
    data = work.prepare(folder / "cache-0")
    setting = f"{size.cases} scans of {'x'.join(map(str, size.shape))} voxels, one thread"
    return (
        Comparison(
            measure="first batch, scans never seen before",
            unit="s",
            better="lower",
            samples=first,
            note=f"{setting}; all read, turn, resample and normalise; ours also checks every pair, hashes it "
            "and writes its cache to disk",
        ),
        Comparison(
            measure="first batch, training started again",
            unit="s",
            better="lower",
            samples=again,
            note=f"{setting}; ours hashes the files and finds its cache on disk, "
            "a CacheDataset is filled anew",
        ),
        _reading(work, data, size, setting),
    )


def _first_batch(work: Workload, cache_folder: Path) -> object:
    cases = mapped_cases(work.prepare(cache_folder))
    rng = generator(SEED, "benchmark")
    training, dimensions = work.study.training, work.study.model.dimensions
    return tensors(next(epoch(cases, training=training, dimensions=dimensions, rng=rng)), "cpu")


def _first_of(work: Workload, name: str) -> object:
    return next(iter(work.loader(name)))


def _reading(work: Workload, data: SiteData, size: Size, setting: str) -> Comparison:
    ways: dict[str, Callable[[], object]] = {
        f"{OURS}, memory-mapped cache": lambda: [
            np.array(c.image(data.folder)).nbytes + np.array(c.label(data.folder)).nbytes for c in data.cases
        ],
        "nibabel, .nii.gz": lambda: [
            np.asanyarray(nib.load(path).dataobj).nbytes for case in work.files for path in case.values()
        ],
    }
    seconds = interleaved(ways, size.repeats)
    return Comparison(
        measure="one case, image and label, read whole",
        unit="ms",
        better="lower",
        samples={name: tuple(s * 1000 / size.cases for s in values) for name, values in seconds.items()},
        note=f"{setting}; the operating system has cached all files; what nibabel returns is not yet "
        "preprocessed",
    )
