"""Whether an image and its label can be used together."""

import numpy as np
import numpy.typing as npt

from client.data.volumes import Volume
from shared.errors import CaseError
from shared.study import Task

AFFINE_TOLERANCE_MM = 1e-3
ROUNDING_TOLERANCE = 1e-3
LARGEST_LABEL = 2**16


def check_image(image: Volume, *, case: str) -> None:
    """Raise CaseError `not_finite` or `empty_image` for an image that holds no usable picture."""
    if bad := int(np.size(image.array) - np.isfinite(image.array).sum()):
        raise CaseError("not_finite", f"{case}: {bad} voxels of the image are NaN or infinite.")
    low, high = float(image.array.min()), float(image.array.max())
    if low == high:
        raise CaseError("empty_image", f"{case}: every voxel of the image is {low}. Was it exported whole?")


def check_grid(image: Volume, other: Volume, *, case: str, what: str = "label") -> None:
    """Raise CaseError `shape_mismatch` or `affine_mismatch` (an element differs by more than 1e-3 mm)."""
    if image.shape != other.array.shape:
        raise CaseError(
            "shape_mismatch",
            f"{case}: the image has shape {image.shape}, the {what} {other.array.shape}. "
            f"Export the {what} on the image's grid.",
        )
    if np.abs(image.affine - other.affine).max() > AFFINE_TOLERANCE_MM:
        raise CaseError(
            "affine_mismatch",
            f"{case}: the image lies at {image.affine.tolist()}, the {what} at {other.affine.tolist()}. "
            f"Export the {what} on the image's grid.",
        )


def check_pair(image: Volume, label: Volume, task: Task, *, case: str) -> npt.NDArray[np.uint8]:
    """Return the label as class indices, (X, Y, Z) uint8: 0 background, i the i-th of `task.classes`.

    Raises
    ------
    CaseError
        `shape_mismatch`, `affine_mismatch`, `not_finite`, `empty_image`, `label_values` (not whole numbers,
        or values that the task does not name).
    """
    check_grid(image, label, case=case)
    check_image(image, case=case)
    return _class_indices(label.array, task, case)


def whole_numbers(label: npt.NDArray[np.float32], *, case: str, expected: str) -> npt.NDArray[np.int32]:
    """Return a label's values as whole numbers, same shape.

    Raises
    ------
    CaseError
        `not_finite`; `label_values` for fractions, negative or enormous values. `expected` is its advice.
    """
    if not np.isfinite(label).all():
        raise CaseError("not_finite", f"{case}: the label holds NaN or infinite values.")
    if label.min() < -ROUNDING_TOLERANCE or label.max() > LARGEST_LABEL:
        raise _wrong_values(case, [float(label.min()), float(label.max())], expected)
    whole = np.rint(label)
    off = np.abs(label - whole) > ROUNDING_TOLERANCE
    if off.any():
        raise _wrong_values(case, [float(value) for value in np.unique(label[off])], expected)
    return whole.astype(np.int32)


def _class_indices(label: npt.NDArray[np.float32], task: Task, case: str) -> npt.NDArray[np.uint8]:
    expected = sorted({0, *(value for group in task.label_values for value in group)})
    wanted = f"the study expects only {expected}. Correct the label, or task.labels."
    values = whole_numbers(label, case=case, expected=wanted)
    counts = np.bincount(values.ravel(order="K"))  # much faster than sorting, as np.unique does
    found = np.flatnonzero(counts).tolist()
    if not set(found) <= set(expected):
        raise _wrong_values(case, found, wanted)
    class_of = np.zeros(len(counts), np.uint8)
    for index, group in enumerate(task.label_values, start=1):
        class_of[[value for value in group if value < len(counts)]] = index
    indices: npt.NDArray[np.uint8] = class_of[values]
    return indices


def _wrong_values(case: str, found: list[float] | list[int], expected: str) -> CaseError:
    shown = ", ".join(f"{value:g}" for value in found[:10]) + (", ..." if len(found) > 10 else "")
    return CaseError("label_values", f"{case}: the label holds {shown}; {expected}")
