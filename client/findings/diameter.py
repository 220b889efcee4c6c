"""The longest diameter of a finding within one slice, and the longest line across it, as RECIST 1.1 asks.

RECIST measures a lesion from edge to edge in the plane of the images (Eisenhauer et al. 2009, European
Journal of Cancer 45:228-247). Between voxel centres a finding would come out short, and one of a single voxel
would have no size; between the outer corners of voxels a smooth shape comes out too long, since corners stick
out of it in every slanted direction. The edge is therefore taken where marching squares puts it, half-way
between a voxel inside and its neighbour outside, as IBSI's mesh (Zwanenburg et al. 2020, Radiology
295:328-338) and scikit-image's Feret diameter do. tests/client/findings/test_diameter.py measures all three.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull

from shared.sums import FloatArray

SAME_MM = 1e-6
"""Lengths this close are one length: of such slices that with the largest area is measured."""
DIRECTIONS = 16
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Diameter:
    """Length, the longest line across it, the slice, and both ends (2, 2) in voxels of the plane."""

    length_mm: float
    across_mm: float
    slice: int
    ends: FloatArray


def longest_diameter(mask: Mask, steps_mm: FloatArray) -> Diameter:
    """Measure `mask` (U, V, slices), which is not empty, in each slice.

    `steps_mm` (3, 2) are the vectors of one step along U and V: an oblique or sheared grid has its true
    lengths. A slice is looked at only if its widths allow a longer diameter than has been found.
    """
    plane: FloatArray = np.linalg.qr(steps_mm).R  # (2, 2): lengths in the plane are those of plane @ voxels
    slices = np.ascontiguousarray(mask.transpose(2, 0, 1))
    at_most = _at_most(slices, plane)
    best, area = Diameter(0.0, 0.0, 0, np.zeros((2, 2))), 0
    for index in np.argsort(-at_most, kind="stable").tolist():
        if at_most[index] < best.length_mm - SAME_MM:
            break
        here = slices[index]
        found, voxels = _measured(here, plane, index), int(np.count_nonzero(here))
        longer = found.length_mm - best.length_mm
        if longer > SAME_MM or (longer > -SAME_MM and voxels > area):
            best, area = found, voxels
    return best


def edge(mask: Mask) -> FloatArray:
    """(n, 2) points of the edge of a slice (U, V): of all of them, those that its convex hull can need."""
    u, v = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    rows, columns = mask[u], mask[:, v]
    return np.concatenate(
        [
            np.column_stack([u, rows.argmax(axis=1) - 0.5]),
            np.column_stack([u, mask.shape[1] - 0.5 - rows[:, ::-1].argmax(axis=1)]),
            np.column_stack([columns.argmax(axis=0) - 0.5, v]),
            np.column_stack([mask.shape[0] - 0.5 - columns[::-1].argmax(axis=0), v]),
        ]
    )


def _at_most(slices: Mask, plane: FloatArray) -> FloatArray:
    """Bound from above the diameter of each of `slices` (slices, U, V) by how wide it is in some directions.

    A line lies within half the angle between two neighbouring directions of one of them. Columns end half a
    step along U beyond the middles of their voxels, which every width is given on top.
    """
    angles = np.arange(DIRECTIONS) * np.pi / DIRECTIONS
    u_mm, v_mm = (np.column_stack([np.cos(angles), np.sin(angles)]) @ plane).T[:, :, None, None]
    occupied = slices.any(axis=2)
    ends = slices.argmax(axis=2) - 0.5, slices.shape[2] - 0.5 - slices[:, :, ::-1].argmax(axis=2)
    along = u_mm * np.arange(slices.shape[1])
    one, other = (along + v_mm * end for end in ends)  # (directions, slices, U)
    high = np.where(occupied, np.maximum(one, other), -np.inf).max(axis=2)
    low = np.where(occupied, np.minimum(one, other), np.inf).min(axis=2)
    widest = (high - low + np.abs(u_mm[:, :, 0])).max(axis=0)
    return np.asarray(widest / np.cos(np.pi / (2 * DIRECTIONS)))


def _measured(mask: Mask, plane: FloatArray, index: int) -> Diameter:
    points = edge(mask)
    hull = points[ConvexHull(points).vertices]  # in order around it; never flat, a voxel has four edge points
    hull_mm = hull @ plane.T
    lengths = np.linalg.norm(hull_mm[:, None] - hull_mm[None], axis=-1)
    one, two = sorted(np.unravel_index(lengths.argmax(), lengths.shape))
    across = _longest_across(np.roll(hull_mm, -one, axis=0), two - one)
    return Diameter(float(lengths[one, two]), across, index, hull[[one, two]])


def _longest_across(hull_mm: FloatArray, end: int) -> float:
    """Longest chord of a convex polygon at right angles to the diameter from its point 0 to its point `end`.

    Along the diameter the chord's length is piecewise linear and bends at the points of the polygon only.
    """
    along = hull_mm[end] - hull_mm[0]
    along /= np.linalg.norm(along)
    turned = (hull_mm - hull_mm[0]) @ np.column_stack([along, [-along[1], along[0]]])
    near, far = turned[: end + 1], np.concatenate([turned[:1], turned[: end - 1 : -1]])
    chords = np.interp(turned[:, 0], *near.T) - np.interp(turned[:, 0], *far.T)
    return float(np.abs(chords).max())
