"""Smooth random fields and soft-edged shapes on a voxel grid: what phantoms are made of.

Everything is evaluated on open axes (one broadcastable array per axis), so a shape costs a few passes over
the volume and no coordinate array is ever stored.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Shape = tuple[int, int, int]
Vector = npt.NDArray[np.float64]


def smooth_noise(rng: np.random.Generator, shape: Shape, *, scale_voxels: float) -> Array:
    """Draw a smooth Gaussian field with mean 0 and variance exactly 1 at every voxel.

    White noise on a lattice of pitch `scale_voxels` is interpolated with cubic B-splines, whose weights are
    normalised to unit L2 norm. Returns float32 of `shape`.
    """
    first, second, third = (_spline_weights(size, float(scale_voxels)) for size in shape)
    knots = (first.shape[1], second.shape[1], third.shape[1])
    lattice = rng.standard_normal(knots, dtype=np.float32)
    field = (first @ lattice.reshape(knots[0], -1)).reshape(shape[0], knots[1], knots[2])
    return np.asarray(second @ (field @ third.T), dtype=np.float32)


@lru_cache(maxsize=256)
def _spline_weights(size: int, scale_voxels: float) -> Array:
    """Return cubic B-spline weights (size, knots), each row of unit L2 norm."""
    position = np.arange(size) / scale_voxels
    knots = int(position[-1]) + 4
    distance = np.abs(position[:, None] + 1 - np.arange(knots))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.maximum(2 - distance, 0) ** 3 / 6
    weights = np.where(distance < 1, near, far)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    weights = weights.astype(np.float32)
    weights.setflags(write=False)
    return weights


@dataclass(frozen=True)
class Grid:
    """Voxel centres in millimetres along each axis; the origin is the middle of the full field of view."""

    axes_mm: tuple[Vector, Vector, Vector]

    @classmethod
    def centred(cls, shape: Shape, spacing_mm: tuple[float, float, float]) -> Self:
        """Grid of `shape` whose middle is the origin."""
        first, second, third = (np.arange(size, dtype=np.float64) - (size - 1) / 2 for size in shape)
        return cls((first * spacing_mm[0], second * spacing_mm[1], third * spacing_mm[2]))

    @property
    def shape(self) -> Shape:
        """Number of voxels along each axis."""
        first, second, third = self.axes_mm
        return len(first), len(second), len(third)

    def slices(self, start: int, stop: int) -> Self:
        """Keep the slices ``start:stop`` of the last axis."""
        first, second, third = self.axes_mm
        return type(self)((first, second, third[start:stop]))

    def seen_from(self, centre_mm: Vector, frame: Vector) -> tuple[Array, Array, Array]:
        """Coordinates of every voxel along the three rows of `frame` (3, 3), from `centre_mm`.

        They are millimetres if the rows have unit length, radii if each row is divided by a radius.
        """
        x, y, z = (
            (axis - middle).astype(np.float32) for axis, middle in zip(self.axes_mm, centre_mm, strict=True)
        )
        matrix = frame.astype(np.float32)
        first, second, third = ((row[0] * x[:, None] + row[1] * y)[:, :, None] + row[2] * z for row in matrix)
        return first, second, third


def random_rotation(rng: np.random.Generator) -> Vector:
    """Draw an orthonormal (3, 3) matrix uniformly (QR of a Gaussian matrix)."""
    orthonormal, triangle = np.linalg.qr(rng.standard_normal((3, 3)))
    return np.asarray(orthonormal * np.sign(np.diag(triangle)), dtype=np.float64)


def ellipsoid(grid: Grid, *, centre_mm: Vector, radii_mm: Vector, rotation: Vector | None = None) -> Array:
    """Distance from the centre in units of the radius: below 1 inside the ellipsoid, shape of the grid."""
    axes = np.eye(3) if rotation is None else rotation
    first, second, third = grid.seen_from(centre_mm, axes / radii_mm[:, None])
    squares = first * first + second * second + third * third
    return np.asarray(np.sqrt(squares), dtype=np.float32)


def tube(grid: Grid, *, centre_mm: Vector, rotation: Vector, radius_mm: float, bend_mm: float) -> Array:
    """Distance from a sinusoidal centre line (period 40 mm) in units of `radius_mm`, shape of the grid."""
    along, across, upward = grid.seen_from(centre_mm, rotation)
    across = across - np.float32(bend_mm) * np.sin(along * np.float32(2 * np.pi / 40))
    return np.asarray(np.hypot(across, upward) / np.float32(radius_mm), dtype=np.float32)


def coverage(distance: Array, *, edge: float) -> Array:
    """Share 0..1 of each voxel inside a shape: a linear ramp of width `edge` around distance 1.

    A share above one half means that the voxel's centre is inside.
    """
    return np.clip(0.5 + (1 - distance) / np.float32(edge), 0, 1)


def paint(image: Array, share: Array, value: float | Array) -> None:
    """Blend `value` into `image` in place, voxel by voxel, by the `share` covered."""
    image += share * (value - image)
