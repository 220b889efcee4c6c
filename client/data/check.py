"""Whether an image and its label can be used together."""

import math
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from client.data.volumes import Volume, spacing_mm
from shared.errors import CaseError
from shared.study import Task

APART_VOXELS = 0.05
"""How far two grids may lie apart and count as one: programs round spacing and origin in their headers."""
ROUNDING_TOLERANCE = 1e-3
LARGEST_LABEL = 2**16
UNKNOWN = 254
"""In `class_table`: a value of no class."""


def check_image(image: Volume, *, case: str, what: str = "image") -> None:
    """Raise CaseError `not_finite` or `empty_image` for an image that holds no usable picture."""
    low, high = float(image.array.min()), float(image.array.max())  # NaN if any voxel is
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = int(np.size(image.array) - np.isfinite(image.array).sum())
        raise CaseError("not_finite", f"{case}: {bad} voxels of the {what} are NaN or infinite.")
    if low == high:
        raise CaseError("empty_image", f"{case}: every voxel of the {what} is {low}. Was it exported whole?")


def check_grid(image: Volume, other: Volume, *, case: str, what: str = "label") -> None:
    """Raise CaseError `shape_mismatch`, or `affine_mismatch` where a corner lies over 0.05 voxels off."""
    if image.shape != other.array.shape:
        raise CaseError(
            "shape_mismatch",
            f"{case}: the image has shape {image.shape}, the {what} {other.array.shape}. "
            f"Export the {what} on the image's grid.",
        )
    apart_mm = _apart_mm(image, other)
    if not apart_mm <= APART_VOXELS * spacing_mm(image.affine).min():
        raise CaseError(
            "affine_mismatch",
            f"{case}: the image lies at {image.affine.tolist()}, the {what} at {other.affine.tolist()}, "
            f"{apart_mm:.3g} mm off. Export the {what} on the image's grid.",
        )


def _apart_mm(image: Volume, other: Volume) -> float:
    """Find how far the same corner of two grids of one shape lies apart at most."""
    corners = np.array([[*corner, 1] for corner in product(*((0, side - 1) for side in image.shape))])
    moved = corners @ (image.affine - other.affine).T
    return float(np.linalg.norm(moved[:, :3], axis=1).max())


def class_indices(
    label: npt.NDArray[Any], task: Task, *, case: str, what: str = "label"
) -> npt.NDArray[np.uint8]:
    """Return a label as class indices, uint8, same shape: 0 background, i the i-th of `task.classes`.

    Raises
    ------
    CaseError
        `not_finite`, `label_values`: not whole numbers, or values that the task does not name.
    """
    expected = sorted({0, *(value for group in task.label_values for value in group)})
    wanted = f"the study expects only {expected}. Correct the {what}, or task.labels."
    with np.errstate(invalid="ignore"):
        small = label.astype(np.uint8, copy=False)
    if small is label or (small == label).all():  # nearly every label there is: no need for wider numbers
        class_of = class_table(task, 256)
        if (class_of == np.arange(256))[: int(small.max()) + 1].all():
            return small
        indices = class_of[small]
        if not (indices == UNKNOWN).any():
            return indices
    values = whole_numbers(label, case=case, expected=wanted, what=what)
    counts = np.bincount(values.ravel(order="K"))  # much faster than sorting, as np.unique does
    found = np.flatnonzero(counts).tolist()
    if not set(found) <= set(expected):
        raise _wrong_values(case, found, wanted, what)
    return class_table(task, len(counts))[values]


def class_table(task: Task, values: int) -> npt.NDArray[np.uint8]:
    """Class index of each file value below `values`, (values,); UNKNOWN for those that the task lacks."""
    class_of = np.full(values, UNKNOWN, np.uint8)
    for index, group in enumerate(((0,), *task.label_values)):
        class_of[[value for value in group if value < values]] = index
    return class_of


def whole_numbers(
    label: npt.NDArray[Any], *, case: str, expected: str, what: str = "label"
) -> npt.NDArray[np.int32]:
    """Return a label's values, as `Volume` holds them, as whole numbers, same shape.

    Raises
    ------
    CaseError
        `not_finite`; `label_values` for fractions, negative or enormous values. `expected` is its advice.
    """
    if not np.isfinite(label).all():
        raise CaseError("not_finite", f"{case}: the {what} holds NaN or infinite values.")
    if label.min() < -ROUNDING_TOLERANCE or label.max() > LARGEST_LABEL:
        raise _wrong_values(case, [float(label.min()), float(label.max())], expected, what)
    if label.dtype.kind == "f":
        whole = np.rint(label)
        off = np.abs(label - whole) > ROUNDING_TOLERANCE
        if off.any():
            raise _wrong_values(case, [float(value) for value in np.unique(label[off])], expected, what)
        label = whole
    indices: npt.NDArray[np.int32] = label.astype(np.int32)
    return indices


def _wrong_values(case: str, found: list[float] | list[int], expected: str, what: str) -> CaseError:
    shown = ", ".join(f"{value:g}" for value in found[:10]) + (", ..." if len(found) > 10 else "")
    return CaseError("label_values", f"{case}: the {what} holds {shown}; {expected}")
