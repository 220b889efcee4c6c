"""The good files of samples.py, written once; tests that damage them work on copies."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.client.data.formats.samples import SAMPLES, Sample


@dataclass(frozen=True)
class Good:
    """A sample on disk: `path` is read, and lies in `folder`, which holds nothing else."""

    sample: Sample
    folder: Path
    path: Path
    array: npt.NDArray[Any]
    affine: npt.NDArray[np.float64]

    def copy(self, folder: Path) -> Path:
        """Copy all its files into an empty or new folder; return the path to read."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return folder / self.path.relative_to(self.folder)


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sample], Good]:
    made: dict[str, Good] = {}

    def write(sample: Sample) -> Good:
        if sample.name not in made:
            folder = tmp_path_factory.mktemp("good")
            made[sample.name] = Good(sample, folder, *sample.write(folder))
        return made[sample.name]

    return write


@pytest.fixture(params=SAMPLES, ids=lambda sample: sample.name)
def good(request: pytest.FixtureRequest, written: Callable[[Sample], Good]) -> Good:
    """Each good file in turn."""
    return written(request.param)
