"""Grids of scans and certain answers about them, for the tests of findings."""

from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from client.findings import Findings, find
from shared.study import Study
from tests.client.hospital import tiny_study

Affine = npt.NDArray[np.float64]
Shape = tuple[int, int, int]
AXES = ("RAS", "LPS", "ASR", "IRA", "SAL", "PIL")


def study_of(
    *,
    minimum_ml: float = 0.0,
    finding: list[str] | None = None,
    threshold: float = 0.5,
    truth: str = "label",
) -> Study:
    task: dict[str, Any] = {"classes": ["organ", "tumour"], "minimum_finding_ml": minimum_ml, "truth": truth}
    return tiny_study(task={**task, "finding": finding}, evaluation={"threshold": threshold})


def certain(segmentation: npt.NDArray[Any], sure: float = 0.9) -> npt.NDArray[np.float32]:
    """Probabilities (3, X, Y, Z) that say `segmentation` with so much certainty."""
    found = np.full((3, *segmentation.shape), (1 - sure) / 2, np.float32)
    np.put_along_axis(found, segmentation[None].astype(int), sure, axis=0)
    return found


def found_in(
    segmentation: npt.NDArray[Any],
    study: Study | None = None,
    *,
    affine: npt.ArrayLike = (1.0, 1.0, 1.0),
    source_affine: npt.ArrayLike | None = None,
    source_shape: Shape | None = None,
) -> Findings:
    """What is found where the network is certain of `segmentation`; an affine may be three spacings."""
    return found_at(certain(segmentation), study, affine, source_affine, source_shape)


def found_at(
    probabilities: npt.NDArray[np.float32],
    study: Study | None = None,
    affine: npt.ArrayLike = (1.0, 1.0, 1.0),
    source_affine: npt.ArrayLike | None = None,
    source_shape: Shape | None = None,
) -> Findings:
    """`find`, where the files have the prepared grid if no other is given."""
    grid = np.asarray(affine, np.float64)
    grid = np.diag([*grid, 1.0]) if grid.ndim == 1 else grid
    x, y, z = probabilities.shape[1:]
    return find(
        probabilities,
        study or study_of(finding=["tumour"]),
        affine=grid,
        source_affine=grid if source_affine is None else source_affine,
        source_shape=source_shape or (x, y, z),
    )


def turned(angles: tuple[float, float, float]) -> Affine:
    """A rotation by three angles in radians about x, y and z, (4, 4)."""
    matrix = np.eye(4)
    for axis, angle in enumerate(angles):
        i, j = [other for other in range(3) if other != axis]
        one = np.eye(4)
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ one
    return matrix


def placed(spacing: npt.ArrayLike, angles: tuple[float, float, float], origin: npt.ArrayLike) -> Affine:
    """A grid in RAS order, turned about its first voxel, which lies at `origin` (mm)."""
    affine: Affine = turned(angles) @ np.diag([*np.asarray(spacing, np.float64), 1.0])
    affine[:3, 3] = origin
    return affine


def stored(affine: Affine, shape: Shape, axes: str) -> tuple[Affine, Shape]:
    """The same scan as a file stores it whose axes run as `axes` say: affine and shape."""
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(tuple(axes))
    )
    x, y, z = nib.orientations.apply_orientation(np.empty(shape, bool), turn).shape
    return affine @ nib.orientations.inv_ornt_aff(turn, shape), (x, y, z)


small_angles = st.tuples(*[st.floats(-0.4, 0.4)] * 3)
spacings = st.tuples(*[st.floats(0.5, 4.0)] * 3)
origins = st.tuples(*[st.floats(-200.0, 200.0)] * 3)


def ellipsoid(
    shape: Shape, spacing: npt.ArrayLike, centre_mm: npt.ArrayLike, radii_mm: npt.ArrayLike
) -> npt.NDArray[np.uint8]:
    """Class 2 in every voxel whose middle lies inside; the first voxel's middle is at 0 mm."""
    index = np.indices(shape).reshape(3, -1).T * np.asarray(spacing)
    inside = (((index - np.asarray(centre_mm)) / np.asarray(radii_mm)) ** 2).sum(axis=1) <= 1
    return np.where(inside.reshape(shape), 2, 0).astype(np.uint8)
