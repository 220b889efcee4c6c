"""Scans of two sizes on their way to the network: prepared cold, and drawn from warm, beside MONAI.

Cold is from `.nii.gz` to the common grid, by transforms that do the same. Warm is random windows from what
was prepared: our memory-mapped cache, MONAI's CacheDataset, which keeps all of it in memory, and its
PersistentDataset, which reads a whole case from disk for each window. Each way to draw runs in a process of
its own (simulations/benchmarks/crops.py), so that its memory can be counted.
"""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.transforms import Compose

from client.data import cache
from shared.errors import DataError
from shared.files import write_atomically
from shared.randomness import generator
from shared.study import Study
from simulations.benchmarks import monai_loop
from simulations.benchmarks.comparison import Comparison
from simulations.benchmarks.hospitals import SEED, quickstart_study
from simulations.benchmarks.workload import LOADERS, OURS, interleaved
from simulations.shapes import Shape

THREADS = 2
PERSISTENT = "MONAI PersistentDataset"
WAYS = (OURS, *LOADERS, PERSISTENT)


@dataclass(frozen=True)
class Size:
    """Scans of one size: how many, of which shape, and the windows drawn from them.

    They have voxels of 1 mm, and the study asks for `to_mm`. Without `epochs` no windows are drawn.
    """

    name: str
    cases: int
    shape: Shape
    to_mm: float
    window: Shape
    epochs: int
    repeats: int

    def study(self) -> Study:
        """Ask for `to_mm` in RAS order and a z-score over the foreground."""
        return quickstart_study(
            preprocessing={"shape": None, "spacing_mm": [self.to_mm] * 3, "crop_foreground": False},
            training={"window": list(self.window)},
            evaluation={"validation_fraction": 0.0, "test_fraction": 0.0},
        )


def measure(size: Size, folder: Path) -> tuple[Comparison, ...]:
    """Write the scans, prepare them in turn, then draw from them in turn."""
    files = _scans(size, folder / "scans")
    study = size.study()
    setting = f"{size.cases} scans of {'x'.join(map(str, size.shape))} voxels at 1 mm"
    cold = Comparison(
        measure=f"{size.name}: prepare one case, never seen before",
        unit="ms",
        better="lower",
        samples=_cold(size, files, study, folder),
        note=f"{setting}, .nii.gz int16 and uint8, LPS order, one thread, files in the system's cache; all "
        f"decode, turn to RAS, bring to {size.to_mm:g} mm and normalise; ours also hashes, checks and writes "
        "to disk, a PersistentDataset writes",
    )
    both = Comparison(
        measure=f"{size.name}: prepare one case, {THREADS} threads",
        unit="ms",
        better="lower",
        samples=_threaded(size, files, study, folder),
        note=f"{setting}; as above, with {THREADS} scans at a time in either",
    )
    if not size.epochs:
        return (cold, both)
    rates, memory_mb = _warm(size, files, folder)
    note = (
        f"{setting}, windows of {'x'.join(map(str, size.window))}, {size.epochs} epochs, one thread, files "
        "in the system's cache; memory is anonymous, which the system cannot take back, beyond that before "
        "any scan was opened"
    )
    return (
        cold,
        both,
        Comparison(f"{size.name}: random windows", "windows/s", "higher", rates, note),
        Comparison(f"{size.name}: memory for them", "MB", "lower", memory_mb, note),
    )


def _cold(size: Size, files: monai_loop.Files, study: Study, folder: Path) -> dict[str, tuple[float, ...]]:
    steps = Compose(monai_loop.deterministic(study))
    numbers, filled = count(), count()
    ways: dict[str, Callable[[], object]] = {
        OURS: lambda: prepared(folder / "scans", study, folder / f"cache-{next(numbers)}"),
        "MONAI LoadImaged and transforms": lambda: [steps(case) for case in _named(files)],
        PERSISTENT: lambda: monai_loop.fill(_named(files), study, folder / f"filled-{next(filled)}"),
    }
    seconds = interleaved(ways, size.repeats)
    return {name: tuple(s * 1000 / size.cases for s in values) for name, values in seconds.items()}


def _threaded(
    size: Size, files: monai_loop.Files, study: Study, folder: Path
) -> dict[str, tuple[float, ...]]:
    numbers = count()
    ways: dict[str, Callable[[], object]] = {
        OURS: lambda: prepared(
            folder / "scans", study, folder / f"threaded-{next(numbers)}", workers=THREADS
        ),
        "MONAI CacheDataset": lambda: monai_loop.cached(files, study, workers=THREADS),
    }
    seconds = interleaved(ways, size.repeats)
    return {name: tuple(s * 1000 / size.cases for s in values) for name, values in seconds.items()}


def prepared(scans: Path, study: Study, cache_folder: Path, *, workers: int = 1) -> cache.SiteData:
    """Fill our cache, or find it again; raises DataError when a scan could not be used."""
    data = cache.prepare(
        scans, layout=None, patients_csv=None, study=study, cache_folder=cache_folder, workers=workers
    )
    if data.skipped:
        raise DataError(f"{len(data.skipped)} scans of the benchmark cannot be used: {data.skipped[0]}")
    return data


def _warm(
    size: Size, files: monai_loop.Files, folder: Path
) -> tuple[dict[str, tuple[float, ...]], dict[str, tuple[float, ...]]]:
    """Windows per second and MB of each way, every time; the ways take turns."""
    rates, memory_mb = defaultdict(list), defaultdict(list)
    order = folder / "crops.json"
    with write_atomically(order) as draft:
        values = {
            "study": size.study().model_dump(mode="json"),
            "scans": str(folder / "scans"),
            "cache": str(folder / "cache-0"),
            "persistent": str(folder / "persistent"),
            "files": _named(files),
            "epochs": size.epochs,
        }
        draft.write_text(json.dumps(values), encoding="utf-8")
    for _ in range(size.repeats):
        for way in WAYS:
            found = _drawn(way, order)
            rates[way].append(found["windows_per_s"])
            memory_mb[way].append(found["memory_mb"])
    return ({k: tuple(v) for k, v in rates.items()}, {k: tuple(v) for k, v in memory_mb.items()})


def _drawn(way: str, order: Path) -> dict[str, float]:
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "simulations.benchmarks.crops", way, str(order)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DataError(f"windows by {way} failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _named(files: monai_loop.Files) -> list[dict[str, Any]]:
    return [{kind: str(path) for kind, path in case.items()} for case in files]


def _scans(size: Size, folder: Path) -> list[dict[str, Path]]:
    """Write a head of noise in air and a lesion in it for each case, as a scanner's LPS files would be."""
    files = []
    axes = np.ogrid[tuple(slice(-1, 1, complex(side)) for side in size.shape)]
    radius = np.sqrt(sum(axis**2 for axis in axes))
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    for number in range(size.cases):
        rng = generator(SEED, "loading", str(asdict(size)), number)
        scan = np.where(radius < 0.8, rng.normal(600, 80, size.shape), 0).clip(0).astype(np.int16)
        place = rng.uniform(-0.3, 0.3, 3)
        distance = np.sqrt(sum((axis - at) ** 2 for axis, at in zip(axes, place, strict=True)))
        lesion = distance < 0.25
        scan[lesion] += 300
        pair = {}
        for kind, array in (("image", scan), ("label", lesion.astype(np.uint8))):
            pair[kind] = folder / f"{kind}s" / f"case-{number}.nii.gz"
            pair[kind].parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(array, affine), pair[kind])
        files.append(pair)
    return files
