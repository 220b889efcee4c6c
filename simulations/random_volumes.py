"""Domain randomisation: labelled volumes drawn so widely that real scans look like one more draw.

A network pre-trained on these has a head start on real data and has seen no patient, so the start model is
public and costs no privacy. After SynthSeg: Billot et al., Medical Image Analysis 86 (2023), 102789.
"""

import numpy as np
import numpy.typing as npt

from simulations.anatomy import SiteShift, draw_scan
from simulations.shapes import Array, Grid, Shape, coverage, paint, random_rotation, smooth_noise

TUMOUR_SHARE = 0.6  # of the one-class volumes show tumours in a body; the others a single organ in tissue


def draw_random_site(rng: np.random.Generator) -> SiteShift:
    """Draw a hospital whose every property is wider than any of the named ones."""
    sign = 1 if rng.random() < 0.5 else -1
    return SiteShift(
        name="random",
        intensity_scale=float(np.exp(rng.uniform(np.log(50), np.log(2000)))),
        intensity_offset=float(rng.uniform(-500, 500)),
        gamma=float(np.exp(rng.uniform(-0.6, 0.6))),
        bias_field=float(rng.uniform(0, 0.4)),
        noise=float(rng.uniform(0.01, 0.1)),
        spacing_mm=(float(rng.uniform(1.1, 1.9)), float(rng.uniform(1.1, 1.9)), float(rng.uniform(1.1, 2.2))),
        field_of_view=float(rng.uniform(0.7, 1)),
        prevalence=float(rng.uniform(0.3, 0.8)),
        tumour_contrast=float(sign * rng.uniform(0.6, 1.2)),
        orientation="LPS" if rng.random() < 0.5 else "RAS",
    )


def random_labelled_volume(
    rng: np.random.Generator, shape: Shape, classes: int
) -> tuple[Array, npt.NDArray[np.uint8]]:
    """Draw an image and its label with values 0..`classes`, both (X, Y, Z) of exactly `shape`, RAS order.

    The image is float32 with mean 0 and standard deviation 1. With one class it shows tumours in a body, or a
    single organ in textured tissue; with more, one elongated organ cut across into adjacent parts, the first
    class at its front end (larger index of the second axis).
    """
    if classes == 1 and rng.random() < TUMOUR_SHARE:
        shift = draw_random_site(rng).model_copy(update={"field_of_view": 1.0, "prevalence": 0.85})
        scan = draw_scan(rng, shift, shape)
        return _standardised(scan.image), scan.label
    image = _background(rng, shape)
    label = _paint_organ(rng, image, classes)
    gain = np.exp(np.float32(rng.uniform(0, 0.4)) * smooth_noise(rng, shape, scale_voxels=20))
    image -= image.min()
    seen = (image * gain / max(float(image.max()), 1e-6)) ** np.float32(np.exp(rng.uniform(-0.5, 0.5)))
    seen = _standardised(seen)
    seen += np.float32(rng.uniform(0.02, 0.3)) * rng.standard_normal(shape, dtype=np.float32)
    return _standardised(seen), label


def another_contrast(rng: np.random.Generator, image: Array) -> Array:
    """Draw what another sequence of the same scanner would show of `image` (X, Y, Z), standardised.

    Intensities pass through a random curve, which may reverse them or take some apart that look alike; the
    noise is fresh.
    """
    levels = np.linspace(float(image.min()), float(image.max()), rng.integers(3, 7))
    curve = np.interp(image, levels, rng.normal(0, 1, len(levels))).astype(np.float32)
    noise = np.float32(rng.uniform(0.02, 0.3)) * rng.standard_normal(image.shape, dtype=np.float32)
    return _standardised(_standardised(curve) + noise)


def _background(rng: np.random.Generator, shape: Shape) -> Array:
    """Tissue without air: two maps of flat regions with soft borders, and texture on two scales."""
    image = np.zeros(shape, dtype=np.float32)
    for scale_voxels, weight in ((rng.integers(7, 14), 1.0), (rng.integers(3, 7), 0.7)):
        field = smooth_noise(rng, shape, scale_voxels=float(scale_voxels))
        levels = np.sort(rng.uniform(-1.5, 1.5, rng.integers(3, 8)))
        values = rng.normal(0, weight, len(levels))
        image += (
            np.interp(field, levels, values).astype(np.float32)
            if rng.random() < 0.3
            else (values[np.searchsorted(levels[1:], field)].astype(np.float32))
        )
    image += np.float32(rng.uniform(0, 0.3)) * smooth_noise(rng, shape, scale_voxels=4)
    image += np.float32(rng.uniform(0, 0.3)) * smooth_noise(rng, shape, scale_voxels=1.5)
    return image


def _paint_organ(rng: np.random.Generator, image: Array, classes: int) -> npt.NDArray[np.uint8]:
    """Add one bent, tapered organ with a rim to `image` in place; return its label, class 1 in front."""
    shape = (image.shape[0], image.shape[1], image.shape[2])
    size = np.array(shape)
    half_length = rng.uniform(0.28, 0.45) * size[1]
    half_width, half_height = rng.uniform(0.1, 0.22, 2) * np.maximum(size[[0, 2]], 3)
    along, across, upward = Grid.centred(shape, (1, 1, 1)).seen_from(
        rng.uniform(-0.1, 0.1, 3) * size, _near_front(rng)
    )
    position = along / np.float32(half_length)
    bend = position**2 - np.float32(0.3)
    across = across - np.float32(rng.uniform(-0.6, 0.6) * half_width) * bend
    upward = upward - np.float32(rng.uniform(-0.9, 0.9) * half_height) * bend
    girth = np.maximum(1 + np.float32(rng.uniform(-0.3, 0.6)) * position, np.float32(0.3))
    distance = np.sqrt(
        position**2 + (across / (girth * half_width)) ** 2 + (upward / (girth * half_height)) ** 2
    ).astype(np.float32)
    distance *= 1 + np.float32(rng.uniform(0.05, 0.15)) * smooth_noise(rng, shape, scale_voxels=5)
    share = coverage(distance, edge=float(1 / min(half_width, half_height)))

    contrast = rng.choice((-1, 1)) * rng.uniform(0.3, 1.5)
    level = float(rng.normal(0, 0.5))
    if rng.random() < 0.7:
        patches = smooth_noise(rng, shape, scale_voxels=6) > np.float32(rng.uniform(-1, 1))
        rim = coverage(distance / np.float32(rng.uniform(1.15, 1.5)), edge=0.2) * patches
        paint(image, rim, level - float(contrast))
    cuts = np.linspace(1, -1, classes + 1)[1:-1] + rng.uniform(-0.35, 0.35, classes - 1) / max(classes, 1)
    front = position + np.float32(0.08) * smooth_noise(rng, shape, scale_voxels=6)
    part = 1 + sum((front < cut for cut in np.sort(cuts)[::-1]), np.zeros(shape, dtype=np.uint8))
    values = level + contrast * rng.uniform(0.7, 1.3, classes)
    texture = np.float32(rng.uniform(0, 0.25)) * smooth_noise(rng, shape, scale_voxels=2)
    paint(image, share, values.astype(np.float32)[part - 1] + texture)
    return np.where(share > 0.5, part, 0).astype(np.uint8)


def _near_front(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw a rotation whose first row points forward (second axis), tilted by some tens of degrees."""
    forward = np.array([0.0, 1.0, 0.0]) + rng.normal(0, 0.3, 3) * [1, 0, 1]
    basis = np.column_stack([forward, random_rotation(rng)[:, :2]])
    orthonormal, triangle = np.linalg.qr(basis)
    return np.asarray((orthonormal * np.sign(np.diag(triangle))).T, dtype=np.float64)


def _standardised(image: Array) -> Array:
    centred = image - image.mean()
    return np.asarray(centred / max(float(image.std()), 1e-6), dtype=np.float32)
