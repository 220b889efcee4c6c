"""Small pictures of one case for the contact sheet: three planes, the label outlined in its colours.

Planes are drawn from the voxels in RAS order, as a radiologist looks at them: right of the patient on the
left, anterior or superior up. So a scan whose header lies about its orientation looks wrong by the letters.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import numpy.typing as npt

from client.data.inspection.facts import Picture
from client.data.volumes import Volume
from client.drawing import COLOURS, covered, facing, outline, png, resized, size_px

SIDE_PX = 176
LONE_SIDE_PX = 2 * SIDE_PX  # of the only picture of a case
THINNEST_PX = 12
_Voxels = npt.NDArray[np.float32]
MARGINS = (0.5, 99.5)  # percentiles that become black and white
PLANES = {  # the axis looked along; letters at left, right, top, bottom
    "axial": (2, ("R", "L", "A", "P")),
    "coronal": (1, ("R", "L", "S", "I")),
    "sagittal": (0, ("A", "P", "S", "I")),
}
NEAR_SLICES = 2  # points that lie so near to a plane are shown on it
DOT_PX = 2


@dataclass(frozen=True, eq=False)
class Marks:
    """The truth on the image's grid as stored: voxels (X, Y, Z), or points (N, 4) x, y, z, label."""

    voxels: npt.NDArray[np.int32] | None = None
    points: npt.NDArray[np.int64] | None = None


def colour_of(value: int) -> tuple[int, int, int]:
    """Return the (red, green, blue) in which a label value is outlined, values taking turns; 0 is red."""
    return COLOURS[(value - 1) % len(COLOURS)]


def pictures_of(volume: Volume, marks: Marks | None, *, is_body: bool = True) -> tuple[Picture, ...]:
    """Draw the planes through the middle of the label, or of the image without one.

    A plane that would be a mere line is left out: a 2-D image has one picture, and a larger one. With
    `is_body` false there are no letters.
    """
    turn = nib.orientations.io_orientation(volume.affine)
    back = nib.orientations.inv_ornt_aff(turn, volume.shape)  # RAS index to stored index
    image = _colours(volume.array, turn)
    label, points = _turned(marks, turn, np.linalg.inv(back))
    shape = image[0].shape
    sides_mm = np.linalg.norm((volume.affine @ back)[:3, :3], axis=0) * shape
    low, width = _levels(image)
    centre = _centre(shape, label, points)
    axes = _worth_drawing(sides_mm, shape)
    drawn = []
    for name, (axis, letters) in PLANES.items():
        if axis not in axes:
            continue
        size = size_px(np.delete(sides_mm, axis), SIDE_PX if len(axes) > 1 else LONE_SIDE_PX)
        cut: tuple[slice | int, ...] = (
            *(slice(None),) * axis,
            centre[axis],
        )  # a view; np.take would copy the volume first
        values = np.stack([resized(part[cut], size) for part in image])
        pixels = (np.clip((values - low) / width, 0, 1) * 255).astype(np.uint8)
        canvas = np.broadcast_to(pixels, (3, *size)).copy()
        if label is not None:
            _draw_outlines(canvas, label[cut])
        if points is not None:
            near = points[np.abs(points[:, axis] - centre[axis]) <= NEAR_SLICES]
            _draw_points(canvas, np.delete(near, axis, axis=1), np.delete(shape, axis))
        drawn.append(Picture(name, png(facing(canvas)), letters if is_body else ()))
    return tuple(drawn)


def _colours(array: npt.NDArray[np.float32], turn: npt.NDArray[np.float64]) -> list[_Voxels]:
    """Return one (X, Y, Z) view in RAS order, or three for three numbers a voxel, which are colours."""
    parts = array if array.ndim == 4 else array[None]
    parts = parts if len(parts) == 3 else parts[:1]
    return [nib.orientations.apply_orientation(part, turn) for part in parts]


def _turned(
    marks: Marks | None, turn: npt.NDArray[np.float64], to_ras: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int32] | None, npt.NDArray[np.int64] | None]:
    """Return voxels and points in RAS order, each None where there are none."""
    label, points = None, None
    if marks is not None and marks.voxels is not None:
        label = nib.orientations.apply_orientation(marks.voxels, turn)
    if marks is not None and marks.points is not None:
        moved = np.rint(marks.points[:, :3] @ to_ras[:3, :3].T + to_ras[:3, 3]).astype(np.int64)
        points = np.column_stack([moved, marks.points[:, 3]])
    return label, points


def _worth_drawing(sides_mm: npt.NDArray[np.float64], shape: tuple[int, ...]) -> set[int]:
    """Axes to look along: not those that show a line; if all do, the one that shows most."""
    areas = {axis: float(np.delete(sides_mm, axis).prod()) for axis in range(3)}
    good = {
        axis
        for axis in areas
        if min(size_px(np.delete(sides_mm, axis), SIDE_PX)) >= THINNEST_PX and min(np.delete(shape, axis)) > 1
    }
    return good or {max(areas, key=areas.__getitem__)}


def _levels(image: Sequence[_Voxels]) -> tuple[float, float]:
    """Lowest value that is shown, and the width of those that are."""
    step = tuple(slice(None, None, max(1, side // 64)) for side in image[0].shape)
    thin = np.stack([part[step] for part in image])
    finite = thin[np.isfinite(thin)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(finite, MARGINS).tolist()
    return low, max(high - low, 1e-6)


def _centre(
    shape: tuple[int, ...], label: npt.NDArray[np.int32] | None, points: npt.NDArray[np.int64] | None
) -> list[int]:
    """Find the label's centre of mass, on each axis moved to the nearest slice that holds some of it."""
    if points is not None and len(points):
        return [int(np.median(points[:, axis])) for axis in range(3)]
    if label is None or not label.any():
        return [side // 2 for side in shape]
    found = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        mass = np.count_nonzero(label, axis=others)
        there = np.flatnonzero(mass)
        middle = float((there * mass[there]).sum() / mass.sum())
        found.append(int(there[np.abs(there - middle).argmin()]))
    return found


def _draw_outlines(canvas: npt.NDArray[np.uint8], plane: npt.NDArray[np.int32]) -> None:
    for value in np.unique(plane[plane > 0]).tolist():
        height, width = canvas.shape[1:]
        edge = outline(covered(plane == value, (height, width)), max(canvas.shape) // SIDE_PX)
        canvas[:, edge] = np.array(colour_of(value), np.uint8)[:, None]


def _draw_points(
    canvas: npt.NDArray[np.uint8], points: npt.NDArray[np.int64], sides: npt.NDArray[np.int64]
) -> None:
    """Draw points (N, 3), two indices and the label, of a plane of `sides` voxels."""
    centres = ((points[:, :2] + 0.5) * np.array(canvas.shape[1:]) / sides).astype(int)
    for (first, second), value in zip(centres.tolist(), points[:, 2].tolist(), strict=True):
        dot = canvas[:, max(first - DOT_PX, 0) : first + DOT_PX, max(second - DOT_PX, 0) : second + DOT_PX]
        dot[:] = np.array(colour_of(value), np.uint8)[:, None, None]
