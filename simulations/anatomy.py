"""One phantom scan: a body with organs and vessels, tumours in it, seen by one hospital's scanner.

`SiteShift` holds what differs between hospitals. The anatomy is drawn in units of average soft tissue (air is
0, tissue 1), then the scanner adds its bias field, tone curve, noise, scale and offset.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from shared.config import Config
from shared.study import Fraction, Name, Positive, Triple
from simulations.shapes import (
    Array,
    Grid,
    Shape,
    Vector,
    coverage,
    ellipsoid,
    paint,
    random_rotation,
    smooth_noise,
    tube,
)

Orientation = Literal["RAS", "LPS", "LAS", "PIR", "ASL"]

TUMOUR_COUNTS = (0.45, 0.30, 0.15, 0.10)
TUMOUR_RADIUS_MM = (3.4, 9.0)


class SiteShift(Config):
    """What makes one hospital's scans look unlike another's. The defaults are an unremarkable scanner."""

    name: Name = "hospital"
    intensity_scale: Positive = Field(default=400.0, description="stored value of average tissue")
    intensity_offset: float = Field(default=0.0, description="stored value of air")
    gamma: Positive = Field(default=1.0, description="tone curve: value -> value ** gamma, never inverting")
    bias_field: float = Field(default=0.08, ge=0, description="standard deviation of the log gain")
    noise: float = Field(default=0.03, ge=0, description="standard deviation, in units of average tissue")
    spacing_mm: Triple = (1.5, 1.5, 1.5)
    field_of_view: Annotated[float, Field(ge=0.5, le=1)] = Field(
        default=1.0, description="share of the slices that are acquired; the rest of the body is not seen"
    )
    prevalence: Fraction = Field(default=0.6, description="share of scans that hold a tumour")
    tumour_contrast: float = Field(default=1.0, description="multiplies tumour contrast; negative is dark")
    orientation: Orientation = Field(default="RAS", description="how the axes are stored in the file")


SHIFTS: tuple[SiteShift, ...] = (
    SiteShift(name="hospital-a", bias_field=0.06, prevalence=0.6, tumour_contrast=1.5),
    SiteShift(
        name="hospital-b",
        intensity_scale=90.0,
        gamma=1.6,
        bias_field=0.08,
        noise=0.04,
        spacing_mm=(1.3, 1.3, 2.0),
        prevalence=0.75,
        tumour_contrast=1.3,
        orientation="LPS",
    ),
    SiteShift(
        name="hospital-c",
        intensity_scale=1200.0,
        intensity_offset=-300.0,
        gamma=0.75,
        bias_field=0.06,
        noise=0.02,
        spacing_mm=(1.7, 1.7, 1.5),
        prevalence=0.5,
        tumour_contrast=1.6,
        orientation="PIR",
    ),
    SiteShift(
        name="hospital-d",
        intensity_scale=220.0,
        intensity_offset=50.0,
        bias_field=0.1,
        noise=0.05,
        spacing_mm=(1.4, 1.4, 1.4),
        field_of_view=0.7,
        prevalence=0.35,
        tumour_contrast=1.4,
        orientation="LAS",
    ),
)
"""Four hospitals whose scanners differ so much that a network of one of them is unreliable at the others."""


@dataclass(frozen=True)
class Scan:
    """`image` float32 in stored units and `label` uint8 (1 is tumour), both (X, Y, Z) in RAS order."""

    image: Array
    label: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Body:
    centre_mm: Vector
    radii_mm: Vector


def draw_tumour_radii_mm(rng: np.random.Generator, prevalence: float) -> Vector:
    """Draw the radii (mm) of a scan's 0..4 tumours: log-uniform over `TUMOUR_RADIUS_MM`, largest first."""
    if rng.random() >= prevalence:
        return np.empty(0)
    count = 1 + int(rng.choice(len(TUMOUR_COUNTS), p=TUMOUR_COUNTS))
    low, high = np.log(TUMOUR_RADIUS_MM)
    return np.sort(np.exp(rng.uniform(low, high, count)))[::-1]


def draw_scan(rng: np.random.Generator, shift: SiteShift, shape: Shape) -> Scan:
    """Draw one scan of at most `shape` voxels; a smaller field of view leaves slices of the last axis out."""
    extent_mm = np.array(shape) * shift.spacing_mm
    grid = _acquired(rng, shift, shape)
    voxel_mm = float(np.mean(shift.spacing_mm))
    tissue = _tissue(rng, grid.shape)
    body = _Body(
        centre_mm=rng.uniform(-0.04, 0.04, 3) * extent_mm,
        radii_mm=rng.uniform(0.38, 0.47, 3) * extent_mm,
    )
    image = np.zeros(grid.shape, dtype=np.float32)
    wobble = 1 + np.float32(0.05) * smooth_noise(rng, grid.shape, scale_voxels=9)
    surface = ellipsoid(grid, centre_mm=body.centre_mm, radii_mm=body.radii_mm) * wobble
    paint(image, coverage(surface, edge=voxel_mm / float(body.radii_mm.min())), tissue)
    _paint_organs(rng, grid, image, tissue, body=body, voxel_mm=voxel_mm)
    _paint_distractors(rng, grid, image, body=body, voxel_mm=voxel_mm)
    label = _paint_tumours(rng, grid, image, body=body, shift=shift)
    return Scan(image=_acquire(rng, image, shift), label=label)


def _acquired(rng: np.random.Generator, shift: SiteShift, shape: Shape) -> Grid:
    slices = max(1, round(shape[2] * shift.field_of_view))
    start = int(rng.integers(0, shape[2] - slices + 1))
    return Grid.centred(shape, shift.spacing_mm).slices(start, start + slices)


def _tissue(rng: np.random.Generator, shape: Shape) -> Array:
    coarse = smooth_noise(rng, shape, scale_voxels=6)
    fine = smooth_noise(rng, shape, scale_voxels=1.7)
    return 1 + np.float32(rng.uniform(0.02, 0.06)) * coarse + np.float32(rng.uniform(0.02, 0.05)) * fine


def _paint_organs(
    rng: np.random.Generator, grid: Grid, image: Array, tissue: Array, *, body: _Body, voxel_mm: float
) -> None:
    """Two to four large organs of moderate contrast, and up to two thin bright vessels."""
    for _ in range(rng.integers(2, 5)):
        radii_mm = body.radii_mm * rng.uniform(0.25, 0.5, 3)
        distance = ellipsoid(
            grid,
            centre_mm=body.centre_mm + body.radii_mm * _ball(rng, 1)[0] * 0.55,
            radii_mm=radii_mm,
            rotation=random_rotation(rng),
        )
        share = coverage(distance, edge=voxel_mm / float(radii_mm.min()))
        paint(image, share, tissue * np.float32(1 + rng.uniform(-0.15, 0.15)))
    for _ in range(rng.integers(0, 3)):
        radius_mm = float(rng.uniform(0.7, 1.2))
        distance = tube(
            grid,
            centre_mm=body.centre_mm + body.radii_mm * _ball(rng, 1)[0] * 0.5,
            rotation=random_rotation(rng),
            radius_mm=radius_mm,
            bend_mm=float(rng.uniform(0, 4)),
        )
        inside = image > 0.6
        paint(image, coverage(distance, edge=voxel_mm / radius_mm) * inside, float(rng.uniform(1.1, 1.25)))


def _paint_distractors(
    rng: np.random.Generator, grid: Grid, image: Array, *, body: _Body, voxel_mm: float
) -> None:
    """Few blobs on the skin, as bright as a tumour: a threshold alone would report them."""
    for _ in range(rng.poisson(0.25)):
        direction = rng.standard_normal(3)
        radii_mm = rng.uniform(2.0, 4.0, 3)
        distance = ellipsoid(
            grid,
            centre_mm=body.centre_mm + 1.12 * body.radii_mm * direction / np.linalg.norm(direction),
            radii_mm=radii_mm,
        )
        paint(image, coverage(distance, edge=voxel_mm / float(radii_mm.min())), float(rng.uniform(1.4, 1.8)))


def _paint_tumours(
    rng: np.random.Generator, grid: Grid, image: Array, *, body: _Body, shift: SiteShift
) -> npt.NDArray[np.uint8]:
    """Add tumours to `image` in place and return their label; they lie in the body and do not touch."""
    label = np.zeros(grid.shape, dtype=np.uint8)
    voxel_mm = float(np.mean(shift.spacing_mm))
    placed: list[tuple[Vector, float]] = []
    for radius_mm in draw_tumour_radii_mm(rng, shift.prevalence):
        gap_mm = 1.5 * radius_mm + 2 * max(shift.spacing_mm)
        free = [
            centre_mm
            for centre_mm in _candidates(rng, grid, body)
            if all(np.linalg.norm(centre_mm - other) > gap_mm + 1.5 * size for other, size in placed)
        ]
        if not free:
            continue
        placed.append((free[0], radius_mm))
        radii_mm = radius_mm * rng.uniform(0.8, 1.25, 3)
        distance = ellipsoid(grid, centre_mm=free[0], radii_mm=radii_mm, rotation=random_rotation(rng))
        distance *= 1 + np.float32(0.08) * smooth_noise(rng, grid.shape, scale_voxels=3)
        share = coverage(distance, edge=0.7 * voxel_mm / float(radii_mm.min()))
        contrast = np.float32(shift.tumour_contrast * rng.uniform(0.45, 0.7))
        image += share * contrast
        label[share > 0.5] = 1
    return label


def _candidates(rng: np.random.Generator, grid: Grid, body: _Body) -> list[Vector]:
    """Voxel centres (mm) well inside body and field of view: there even a small tumour has a voxel."""
    points = body.centre_mm + body.radii_mm * _ball(rng, 24) * 0.7
    points[-1] = body.centre_mm
    snapped = np.empty_like(points)
    for axis, centres in enumerate(grid.axes_mm):
        nearest = np.abs(points[:, axis, None] - centres).argmin(axis=1)
        snapped[:, axis] = centres[nearest]
    inside = [
        (points[:, axis] >= centres[0]) & (points[:, axis] <= centres[-1])
        for axis, centres in enumerate(grid.axes_mm)
    ]
    inside[0][-1] = inside[1][-1] = inside[2][-1] = True
    return list(snapped[np.logical_and.reduce(inside)])


def _ball(rng: np.random.Generator, count: int) -> Vector:
    """Draw points (count, 3) uniformly from the unit ball."""
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return np.asarray(direction * rng.random((count, 1)) ** (1 / 3))


def _acquire(rng: np.random.Generator, image: Array, shift: SiteShift) -> Array:
    """Scanner: bias field, tone curve, noise, then stored units."""
    gain = np.exp(np.float32(shift.bias_field) * smooth_noise(rng, image.shape, scale_voxels=14))
    seen = np.maximum(image * gain, 0) ** np.float32(shift.gamma)
    seen += np.float32(shift.noise) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(seen * shift.intensity_scale + shift.intensity_offset, dtype=np.float32)
