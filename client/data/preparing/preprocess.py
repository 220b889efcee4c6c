"""From a scan to the study's common grid, the same for training and for inference.

Order: RAS, spacing, intensity, foreground crop, number of slices, shape. Nothing here is random, every step
is recorded, and a mask on the common grid goes back to the scan's own (restore.py).
"""

from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from client.data.preparing.grid import Channel, Grid, Label
from client.data.preparing.intensity import Scaling, scaling
from client.data.preparing.points import painted
from client.data.preparing.reading import Scan
from client.data.volumes import Affine, orientation, spacing_mm
from shared.study import Model, Preprocessing, Task

SPACING_TOLERANCE_MM = 1e-3
Step = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Prepared:
    """One scan on the common grid, in RAS order.

    `image` is (C, X, Y, Z) float32, `label` (X, Y, Z) uint8 class indices, UNLABELLED where nobody has judged
    a voxel, or None; `affine` (4, 4) maps the indices of this grid to the scan's own world in mm, so that a
    mask drawn on it can be written back. `reference_voxels` (classes,) int64 counts each class before a crop,
    in voxels of `spacing_mm` (3,): what a crop cuts off still counts against Dice; zero without a label.
    `steps` say in order what was done, with the figures that were found.
    """

    image: npt.NDArray[np.float32]
    label: Label | None
    affine: Affine
    spacing_mm: npt.NDArray[np.float64]
    reference_voxels: npt.NDArray[np.int64]
    steps: tuple[Step, ...]


def preprocess(scan: Scan, preprocessing: Preprocessing, task: Task, model: Model) -> Prepared:
    """Bring one checked scan onto the study's grid.

    Channels are interpolated linearly, labels by nearest neighbour, about the centre of the field of view; of
    a label of points each marks its nearest voxel of the result. Intensities: see intensity.py, each channel
    by itself; z-scores end at -5 and 5. The crop keeps what is foreground in any channel.

    Raises
    ------
    CaseError
        `empty_image` if no foreground is left, `too_large` if the study's spacing makes it so.
    """
    classes = len(task.classes)
    steps = list(scan.steps)
    turn = orientation(scan.affine)
    grid = Grid(scan.channels, scan.label, scan.affine).turned(turn)
    steps.append({"what": "orientation", "from": "".join(nib.orientations.ornt2axcodes(turn)), "to": "RAS"})
    grid = _respaced(grid, preprocessing.spacing_mm, steps)
    found = [
        scaling(channel, preprocessing.intensity, name=name)
        for name, channel in zip(task.channels, grid.channels, strict=True)
    ]
    figures = [{"channel": name, **one.found} for name, one in zip(task.channels, found, strict=True)]
    steps.append({"what": "intensity", "kind": preprocessing.intensity.kind, "channels": figures})
    reference = kept = grid.count(classes)
    if preprocessing.crop_foreground:
        first, last = _bounds(grid.channels, found)
        shape = last - first + 1
        _note_placing("crop", grid, first, shape, steps)
        grid = grid.cut(first, shape)
        kept = grid.count(classes)
    cut_off = (reference - kept).astype(np.float64)
    before, normalise = grid.shape[2], [one.apply for one in found]
    if preprocessing.slices is not None and before != preprocessing.slices:
        channels = tuple(apply(channel) for apply, channel in zip(normalise, grid.channels, strict=True))
        grid, normalise = _sliced(Grid(channels, grid.label, grid.affine), preprocessing, steps), []
        if before > preprocessing.slices:
            kept, cut_off = grid.count(classes), cut_off * preprocessing.slices / before
    target = np.array(preprocessing.shape or _padded_up(grid.shape, model))
    start = (np.array(grid.shape) - target) // 2
    _note_placing("placed", grid, start, target, steps)
    image, grid = grid.stacked(start, target, normalise)  # written once
    label, reference = grid.label, kept + np.rint(cut_off).astype(np.int64)
    if scan.points is not None:
        label, outside = painted(scan.points, scan.affine, grid.affine, grid.shape, classes)
        reference = Grid(grid.channels, label, grid.affine).count(classes) + outside
    return Prepared(
        image=image,
        label=None if label is None else np.ascontiguousarray(label),
        affine=grid.affine,
        spacing_mm=spacing_mm(grid.affine),
        reference_voxels=reference,
        steps=tuple(steps),
    )


def _respaced(grid: Grid, wanted_mm: tuple[float, float, float] | None, steps: list[Step]) -> Grid:
    if wanted_mm is None:
        return grid
    own_mm = spacing_mm(grid.affine)
    step = np.array(wanted_mm) / own_mm
    step[np.abs(own_mm - wanted_mm) <= SPACING_TOLERANCE_MM] = 1.0
    if (step == 1).all():
        return grid
    shape = np.maximum(np.rint(np.array(grid.shape) / step), 1).astype(int)
    steps.append(
        {
            "what": "spacing",
            "from_mm": own_mm.tolist(),
            "to_mm": (own_mm * step).tolist(),
            "from_shape": list(grid.shape),
            "to_shape": shape.tolist(),
        }
    )
    return grid.resampled(tuple(shape.tolist()), step)


def _sliced(grid: Grid, preprocessing: Preprocessing, steps: list[Step]) -> Grid:
    """Give the scan the study's number of slices: a longer one loses resolution, a shorter one gets air."""
    before, wanted = grid.shape[2], preprocessing.slices
    if wanted is None or wanted == before:
        return grid
    how = preprocessing.long_series if before > wanted else "pad"
    steps.append({"what": "slices", "how": how, "from": before, "to": wanted})
    if how == "pad":
        shape = np.array([*grid.shape[:2], wanted])
        return grid.placed((np.array(grid.shape) - shape) // 2, shape)
    if how == "groups":
        return grid.grouped(wanted)
    return grid.resampled((*grid.shape[:2], wanted), np.array([1.0, 1.0, before / wanted]))


def _note_placing(
    what: str, grid: Grid, start: npt.NDArray[np.int64], shape: npt.NDArray[np.int64], steps: list[Step]
) -> None:
    if start.any() or shape.tolist() != list(grid.shape):
        steps.append(
            {
                "what": what,
                "start": start.tolist(),
                "from_shape": list(grid.shape),
                "to_shape": shape.tolist(),
            }
        )


def _bounds(
    channels: tuple[Channel, ...], found: list[Scaling]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First and last index along each axis that are foreground in any channel."""
    first, last = [], []
    for channel, one in zip(channels, found, strict=True):
        mask = channel > np.float32(one.bound)
        lines = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        first.append([line[0] for line in lines])
        last.append([line[-1] for line in lines])
    return np.min(first, axis=0), np.max(last, axis=0)


def _padded_up(shape: tuple[int, ...], model: Model) -> tuple[int, ...]:
    stride = model.stride
    return tuple(
        -(-side // stride) * stride if axis < model.dimensions else side for axis, side in enumerate(shape)
    )
