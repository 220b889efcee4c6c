"""Key slices: for the largest findings the axial slice of the longest diameter, as a radiologist sees it.

Two pictures a finding: the scan with outlines and the diameter, and the scan under the network's probability;
a third, under the attribution, where one was made. They are drawn in the prepared grid, which is RAS, true to
its millimetres, patient's right on the left, anterior up. No picture and no text beside it names a patient.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from client.drawing import BLUE, ORANGE, SKY, Canvas, covered, facing, outline, png, resized, size_px
from client.reasons.attribution import Attribution
from client.result import Finding
from shared.words import percent, plain

MOST = 5  # findings pictured
SIDE_PX = 384
MARGINS = (0.5, 99.5)  # percentiles of the slice that become black and white
LEAST_SHOWN = 0.05  # a lower probability has no colour
OPACITY = 0.6
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
STOPS = (LEAST_SHOWN, 0.25, 0.5, 0.75, 1.0)
SCALE = ((87, 16, 110), (152, 45, 128), (224, 86, 72), (250, 155, 62), (252, 244, 160))
"""Colours of the probability at STOPS, ever lighter, as Matplotlib's "inferno" is: it also reads in grey."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """One picture, and what it shows for those who do not see it."""

    title: str
    png: bytes
    alt: str


@dataclass(frozen=True, eq=False)
class KeySlice:
    """The pictures of one finding."""

    finding: int
    caption: str
    pictures: tuple[Drawn, ...]


def key_slices(
    image: np.ndarray,
    probability: npt.NDArray[np.float32],
    numbers: npt.NDArray[np.integer],
    findings: Sequence[Finding],
    *,
    affine: npt.NDArray[np.float64],
    attributions: dict[int, Attribution] | None = None,
) -> tuple[KeySlice, ...]:
    """Draw the first `MOST` findings, in the order given: the largest first.

    Parameters
    ----------
    image : (C, X, Y, Z) float32, prepared, RAS; the first channel is drawn
    probability : (X, Y, Z) in 0..1, of the finding classes together
    numbers : (X, Y, Z), at each voxel the number of its finding, 0 where there is none
    affine : (4, 4), of the prepared grid, from index to RAS millimetres
    attributions : by the number of the finding
    """
    return tuple(
        _key_slice(
            image[0],
            probability,
            numbers,
            found,
            affine=affine,
            attributed=(attributions or {}).get(found.number),
        )
        for found in findings[:MOST]
    )


def _key_slice(
    image: np.ndarray,
    probability: npt.NDArray[np.float32],
    numbers: npt.NDArray[np.integer],
    found: Finding,
    *,
    affine: npt.NDArray[np.float64],
    attributed: Attribution | None,
) -> KeySlice:
    ends = _indices(np.array(found.diameter_ends_mm), affine)
    k = int(np.clip(np.rint(ends[:, 2].mean()), 0, image.shape[2] - 1))
    sides_mm = np.linalg.norm(affine[:3, :2], axis=0) * image.shape[:2]
    size = size_px(sides_mm, SIDE_PX)
    plane, others = numbers[:, :, k] == found.number, numbers[:, :, k] > 0
    grey = _grey(image[:, :, k], size)
    place = f"axial slice {found.diameter_slice}, the patient's right on the left, anterior up"
    what = f"finding {found.number} ({found.name})"

    outlined = _outlined(grey, others & ~plane, SKY, 1)
    outlined = _outlined(outlined, plane, ORANGE, 2)
    pictures = [
        Drawn(
            "outline and longest diameter",
            _finished(outlined, _pixels(ends, plane.shape, size)),
            f"{what} outlined in {place}; a line marks its longest diameter of {plain(found.diameter_mm)} mm",
        ),
        Drawn(
            "probability",
            _finished(_outlined(_probability_layer(grey, probability[:, :, k], size), plane, WHITE, 1)),
            f"probability of a finding as colours over {place}; it is {percent(found.mean_probability)} on "
            f"average inside the outline of {what}",
        ),
    ]
    if attributed is not None:
        layer = _attribution_layer(grey, attributed.values[:, :, k], size)
        pictures.append(
            Drawn(
                "attribution",
                _finished(_outlined(layer, plane, WHITE, 1)),
                f"what speaks for {what} (orange) and against it (blue) as colours over {place}",
            )
        )
    return KeySlice(found.number, _caption(found), tuple(pictures))


def _caption(found: Finding) -> str:
    return (
        f"Finding {found.number}: {found.name}, {found.side}, {plain(found.diameter_mm)} × "
        f"{plain(found.short_axis_mm)} mm, {plain(found.volume_ml)} ml; slice {found.diameter_slice}"
    )


def _indices(points_mm: npt.NDArray[np.float64], affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Voxel indices (N, 3) of points (N, 3) in RAS millimetres."""
    back = np.linalg.inv(affine)
    indices: npt.NDArray[np.float64] = points_mm @ back[:3, :3].T + back[:3, 3]
    return indices


def _pixels(
    indices: npt.NDArray[np.float64], shape: tuple[int, ...], size: tuple[int, int]
) -> list[tuple[float, float]]:
    """Column and row of voxel indices (N, 3) in a picture that is `facing` us."""
    share = (indices[:, :2] + 0.5) / shape
    across = np.array(size) * (1 - share)
    return [(float(column), float(row)) for column, row in across]


def _grey(plane: npt.NDArray[np.float32], size: tuple[int, int]) -> Canvas:
    low, high = np.percentile(plane, MARGINS)
    values = np.clip((resized(plane, size) - low) / max(high - low, 1e-6), 0, 1)
    return np.broadcast_to((values * 255).astype(np.uint8), (3, *size)).copy()


def _outlined(
    canvas: Canvas, mask: npt.NDArray[np.bool_], colour: tuple[int, int, int], width_px: int
) -> Canvas:
    drawn = canvas.copy()
    first, second = canvas.shape[1:]
    drawn[:, outline(covered(mask, (first, second)), width_px)] = np.array(colour, np.uint8)[:, None]
    return drawn


def _probability_layer(grey: Canvas, plane: npt.NDArray[np.float32], size: tuple[int, int]) -> Canvas:
    values = resized(plane, size)
    colours = np.stack([np.interp(values, STOPS, part) for part in zip(*SCALE, strict=True)])
    return _blended(grey, colours, np.where(values < LEAST_SHOWN, 0.0, OPACITY))


def _attribution_layer(grey: Canvas, plane: npt.NDArray[np.float32], size: tuple[int, int]) -> Canvas:
    """Orange, which is light, speaks for the finding, blue, which is dark, against; the more, the denser."""
    values = resized(plane, size)
    strength = np.abs(values) / max(float(np.abs(values).max()), 1e-12)
    colours = np.where(values > 0, np.reshape(ORANGE, (3, 1, 1)), np.reshape(BLUE, (3, 1, 1)))
    return _blended(grey, colours, np.sqrt(strength))


def _blended(grey: Canvas, colours: npt.NDArray[np.floating], opacity: npt.NDArray[np.floating]) -> Canvas:
    mixed: Canvas = np.rint(grey * (1 - opacity) + colours * opacity).astype(np.uint8)
    return mixed


def _finished(canvas: Canvas, line: Sequence[tuple[float, float]] = ()) -> bytes:
    """Turn it to face us, draw the diameter with its ends, and write the letters."""
    picture = Image.fromarray(facing(canvas))
    draw = ImageDraw.Draw(picture)
    if line:
        draw.line(list(line), fill=BLACK, width=4)  # so that it shows on white too
        draw.line(list(line), fill=WHITE, width=2)
    for column, row in line:
        draw.ellipse((column - 3, row - 3, column + 3, row + 3), fill=WHITE, outline=BLACK)
    width, height = picture.size
    font = ImageFont.load_default(18)
    for letter, at, anchor in (
        ("R", (4, height / 2), "lm"),
        ("L", (width - 4, height / 2), "rm"),
        ("A", (width / 2, 3), "mt"),
        ("P", (width / 2, height - 3), "mb"),
    ):
        draw.text(at, letter, WHITE, font, anchor, stroke_width=2, stroke_fill=BLACK)
    return png(np.asarray(picture))
