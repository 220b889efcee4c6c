"""From a scan to the study's common grid, the same for training and for inference.

Order: RAS, spacing, intensity, foreground crop, number of slices, shape. Nothing here is random.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from client.data.volumes import MAX_VOXELS, Affine, Volume, array_to_ras, spacing_mm, to_ras
from shared.errors import CaseError
from shared.study import Intensity, Model, Preprocessing, Task

SPACING_TOLERANCE_MM = 1e-3
Z_LIMIT = 5.0
Image = npt.NDArray[np.float32]
Label = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Prepared:
    """One scan on the common grid, in RAS order.

    `image` is (1, X, Y, Z) float32, `label` (X, Y, Z) uint8 class indices or None; `affine` (4, 4) maps the
    indices of this grid to the scan's own world in mm, so that a mask drawn on it can be written back.
    `reference_voxels` (classes,) int64 counts each class before anything was cropped, in voxels of
    `spacing_mm` (3,): what a crop cuts off still counts against Dice. It is zero without a label.
    """

    image: Image
    label: Label | None
    affine: Affine
    spacing_mm: npt.NDArray[np.float64]
    reference_voxels: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Grid:
    """Image, label and affine that are always cut, padded and resampled together."""

    image: Image
    label: Label | None
    affine: Affine

    def resampled(self, shape: tuple[int, ...], step: npt.NDArray[np.float64]) -> "_Grid":
        """Resample to `shape` voxels, each `step` (3,) old voxels long, around the same centre."""
        if np.prod(shape, dtype=float) > MAX_VOXELS:
            raise CaseError("too_large", f"resampled to {list(shape)} voxels, more than {MAX_VOXELS} in all.")
        start = (np.array(self.image.shape) - 1) / 2 - step * (np.array(shape) - 1) / 2
        options: dict[str, Any] = {"output_shape": shape, "mode": "nearest", "prefilter": False}
        image = ndimage.affine_transform(self.image, step, start, order=1, **options)
        label = None
        if self.label is not None:
            label = ndimage.affine_transform(self.label, step, start, order=0, **options)
        move = np.diag([*step, 1.0])
        move[:3, 3] = start
        return _Grid(image, label, self.affine @ move)

    def placed(self, start: npt.NDArray[np.int64], shape: npt.NDArray[np.int64]) -> "_Grid":
        """Cut out the box of `shape` voxels that begins at `start`.

        Outside the grid the image is at its lowest and the label 0.
        """
        size = np.array(self.image.shape)
        low, high = np.maximum(start, 0), np.minimum(start + shape, size)
        inside = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        margins = list(zip(low - start, start + shape - high, strict=True))
        # Air goes on outside the scan; zero would be average tissue after a z-score.
        image = np.pad(self.image[inside], margins, constant_values=float(self.image.min()))
        label = None if self.label is None else np.pad(self.label[inside], margins)
        move = np.eye(4)
        move[:3, 3] = start
        return _Grid(image, label, self.affine @ move)

    def count(self, classes: int) -> npt.NDArray[np.int64]:
        """Count the voxels of each class, (classes,)."""
        if self.label is None:
            return np.zeros(classes, np.int64)
        return np.bincount(self.label.ravel(), minlength=classes + 1)[1 : classes + 1].astype(np.int64)


def preprocess(
    image: Volume, label: Label | None, preprocessing: Preprocessing, task: Task, model: Model
) -> Prepared:
    """Bring one checked scan and its class indices (X, Y, Z) onto the study's grid.

    Images are interpolated linearly, labels by nearest neighbour, about the centre of the field of view.
    Z-scores use mean and standard deviation of the foreground (see `foreground`) and end at -5 and 5.

    Raises
    ------
    CaseError
        `empty_image` if no foreground is left, `too_large` if the study's spacing makes it so.
    """
    ras = to_ras(image)
    grid = _Grid(ras.array, None if label is None else array_to_ras(label, image.affine), ras.affine)
    grid = _respaced(grid, preprocessing.spacing_mm)
    values, mask = _normalised(grid.image, preprocessing.intensity)
    grid = _Grid(values, grid.label, grid.affine)
    reference = grid.count(len(task.classes)).astype(np.float64)
    if preprocessing.crop_foreground:
        first, last = _bounds(mask)
        grid = grid.placed(first, last - first + 1)
    kept = grid.count(len(task.classes))
    cut_off = reference - kept
    slices = preprocessing.slices
    if slices is not None and slices != grid.image.shape[2]:
        step = np.array([1.0, 1.0, grid.image.shape[2] / slices])
        grid = grid.resampled((*grid.image.shape[:2], slices), step)
        kept, cut_off = grid.count(len(task.classes)), cut_off / step[2]
    size = np.array(grid.image.shape)
    target = np.array(preprocessing.shape or _padded_up(grid.image.shape, model))
    grid = grid.placed((size - target) // 2, target)
    return Prepared(
        image=np.ascontiguousarray(grid.image[None]),
        label=None if grid.label is None else np.ascontiguousarray(grid.label),
        affine=grid.affine,
        spacing_mm=spacing_mm(grid.affine),
        reference_voxels=kept + np.rint(cut_off).astype(np.int64),
    )


def foreground(image: Image) -> npt.NDArray[np.bool_]:
    """Mark voxels above minimum + 1 % of the range between the 0.5th and 99.5th percentile, same shape.

    The percentiles keep one very bright voxel from making the whole body background. In a crop without
    background practically every voxel passes.
    """
    low, high = np.percentile(image, [0.5, 99.5])
    mask: npt.NDArray[np.bool_] = image > image.min() + 0.01 * (high - low)
    return mask


def _normalised(image: Image, intensity: Intensity) -> tuple[Image, npt.NDArray[np.bool_]]:
    """Network input and the foreground mask, both of the image's shape."""
    if intensity.kind == "ct_window":
        window = np.clip((image - intensity.low_hu) / (intensity.high_hu - intensity.low_hu), 0, 1)
        mask = window > 0
        if not mask.any():
            raise CaseError(
                "empty_image",
                f"no voxel is above {intensity.low_hu} HU, found at most {image.max()}. "
                "Is it a CT in Hounsfield units?",
            )
        return window.astype(np.float32), mask
    mask = foreground(image)
    values = image[mask].astype(np.float64)
    if values.size == 0 or values.std() == 0:
        raise CaseError(
            "empty_image", f"{values.size} voxels of foreground, all equal. Was it exported whole?"
        )
    scores = (image - values.mean()) / values.std()
    return np.clip(scores, -Z_LIMIT, Z_LIMIT).astype(np.float32), mask


def _respaced(grid: _Grid, wanted_mm: tuple[float, float, float] | None) -> _Grid:
    if wanted_mm is None:
        return grid
    step = np.array(wanted_mm) / spacing_mm(grid.affine)
    step[np.abs(spacing_mm(grid.affine) - wanted_mm) <= SPACING_TOLERANCE_MM] = 1.0
    if (step == 1).all():
        return grid
    shape = np.maximum(np.rint(np.array(grid.image.shape) / step), 1).astype(int)
    return grid.resampled(tuple(shape.tolist()), step)


def _bounds(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First and last index along each axis that hold any True."""
    lines = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return np.array([line[0] for line in lines]), np.array([line[-1] for line in lines])


def _padded_up(shape: tuple[int, ...], model: Model) -> tuple[int, ...]:
    stride = model.stride
    return tuple(
        -(-side // stride) * stride if axis < model.dimensions else side for axis, side in enumerate(shape)
    )
