"""One phantom hospital in the forms that the alternatives read, and the clock they are measured with."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from monai.data import DataLoader

from client.data import cache
from client.data.cache import SiteData
from client.training import Case
from shared.study import Study
from simulations.anatomy import SHIFTS
from simulations.benchmarks import monai_loop
from simulations.benchmarks.hospitals import SEED, quickstart_study
from simulations.phantoms import PhantomSite, write_site
from simulations.shapes import Shape

OURS = "Wardround"
LOADERS: Mapping[str, Callable[..., DataLoader]] = {
    "MONAI CacheDataset, DataLoader": monai_loop.plain_loader,
    "MONAI tuned, ThreadDataLoader": monai_loop.tuned_loader,
}
"""The alternatives to ours: each makes a loader from (files, study, seed)."""


@dataclass(frozen=True)
class Size:
    """How much to run: blocks of `epochs` over `cases`, each alternative in turn, `repeats` times over."""

    cases: int
    shape: Shape
    epochs: int
    repeats: int
    preparations: int


@dataclass(frozen=True)
class Workload:
    """A hospital's folder, its files in pairs, and the study all alternatives train for."""

    folder: Path
    files: monai_loop.Files
    study: Study

    @classmethod
    def write(cls, size: Size, folder: Path) -> "Workload":
        """Draw a hospital whose scans must be turned and resampled, and are larger than a window."""
        study = quickstart_study(
            preprocessing={"shape": None}, evaluation={"validation_fraction": 0.0, "test_fraction": 0.0}
        )
        site = PhantomSite(patients=size.cases, shift=SHIFTS[1], shape=size.shape)
        write_site(folder, site, seed=SEED, site_index=1)
        images = sorted((folder / "imagesTr").glob("*.nii.gz"))
        files = [{"image": image, "label": folder / "labelsTr" / image.name} for image in images]
        return cls(folder, files, study)

    def prepare(self, cache_folder: Path) -> SiteData:
        """Fill our cache of this hospital, or find it again."""
        return cache.prepare(
            self.folder, layout=None, patients_csv=None, study=self.study, cache_folder=cache_folder
        )

    def loader(self, name: str) -> DataLoader:
        """Fill the cache of one of LOADERS."""
        return LOADERS[name](self.files, self.study, seed=SEED)


def mapped_cases(data: SiteData) -> list[Case]:
    """Image and label of every case, memory-mapped."""
    return [(case.image(data.folder), case.label(data.folder)) for case in data.cases]


def interleaved(ways: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, ...]]:
    """Seconds that each way takes, every time; the ways take turns."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(repeats):
        for name, act in ways.items():
            begin_s = time.perf_counter()
            act()
            seconds[name].append(time.perf_counter() - begin_s)
    return {name: tuple(values) for name, values in seconds.items()}


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute on one thread inside, and as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
