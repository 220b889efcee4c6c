"""Small scans on disk for tests: never a person's."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from client.data.check import check_grid, check_image, class_indices
from client.data.preparing.reading import Scan
from client.data.volumes import Volume
from shared.study import Study, Task


def affine_of(*spacing_mm: float) -> npt.NDArray[np.float64]:
    """An RAS affine with an origin of its own."""
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = (-20, 5, 30)
    return affine


def write_scan(
    path: Path, array: npt.NDArray[Any], affine: npt.NDArray[np.float64] | None = None, *, axes: str = "RAS"
) -> Path:
    """Write an RAS array as NIfTI, stored in the orientation `axes`, at the same place in the world."""
    image = nib.Nifti1Image(array, affine_of(1, 1, 1) if affine is None else affine)
    turn = nib.orientations.axcodes2ornt(tuple(axes))
    start = nib.orientations.io_orientation(image.affine)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image.as_reoriented(nib.orientations.ornt_transform(start, turn)), path)
    return path


def picture(
    seed: int, shape: tuple[int, int, int] = (9, 10, 11)
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """An image (X, Y, Z) float32 of a bright box in noise, and its label uint8 0..2; no symmetry."""
    rng = np.random.default_rng(seed)
    image = rng.normal(100, 10, shape).astype(np.float32)
    label = np.zeros(shape, np.uint8)
    label[2:5, 3:6, 4:8] = 1
    label[5, 4, 4:6] = 2
    image[label > 0] += 80
    return image, label


def scan_of(
    image: npt.NDArray[Any],
    label: npt.NDArray[Any] | None,
    affine: npt.NDArray[np.float64],
    points: npt.NDArray[np.int64] | None = None,
) -> Scan:
    """A scan as if it had been read: `image` is (X, Y, Z), or (C, X, Y, Z) for several channels."""
    channels = tuple(image.astype(np.float32)) if image.ndim == 4 else (image.astype(np.float32),)
    x, y, z = image.shape[-3:]
    return Scan(channels, affine, label, points, (x, y, z), affine)


def write_case(folder: Path, case: str, seed: int, *, axes: str = "RAS") -> None:
    """One good pair in the plain layout."""
    image, label = picture(seed)
    write_scan(folder / "images" / f"{case}.nii.gz", image, axes=axes)
    write_scan(folder / "labels" / f"{case}.nii.gz", label, axes=axes)


def study(**changes: Any) -> Study:
    """A study of two classes on the smallest network."""
    values: dict[str, Any] = {
        "name": "test",
        "task": {"classes": ["head", "body"]},
        "model": {"channels": [4, 8]},
        "training": {"window": [8, 8, 8]},
    }
    return Study.parse({**values, **changes}, "test study")


def check_pair(image: Volume, label: Volume, task: Task, *, case: str) -> npt.NDArray[np.uint8]:
    """All checks of one image and its label, in the order in which a case is read."""
    check_grid(image, label, case=case)
    check_image(image, case=case)
    return class_indices(label.array, task, case=case)
