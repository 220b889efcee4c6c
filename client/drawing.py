"""What all pictures of a scan share: colours, sizes true to the millimetre, outlines, which way they face."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Colour = tuple[int, int, int]
Canvas = npt.NDArray[np.uint8]
"""(3, first, second): red, green and blue of a plane along two growing RAS axes."""

GREEN, ORANGE, SKY = (0, 158, 115), (230, 159, 0), (86, 180, 233)
PURPLE, YELLOW, VERMILION = (204, 121, 167), (240, 228, 66), (213, 94, 0)
BLUE = (0, 114, 178)
COLOURS = (GREEN, ORANGE, SKY, PURPLE, YELLOW, VERMILION)
"""Okabe and Ito's, which people tell apart who do not see red or green."""


def outline(mask: npt.NDArray[np.bool_], width_px: int) -> npt.NDArray[np.bool_]:
    """Return the pixels of a 2-D mask within `width_px` of its edge, so that what is inside shows through."""
    edge: npt.NDArray[np.bool_] = mask & ~ndimage.binary_erosion(mask, iterations=width_px)
    return edge


def size_px(sides_mm: npt.NDArray[np.float64], longest_px: int) -> tuple[int, int]:
    """Pixels of both sides of a plane, true to its millimetres."""
    first, second = np.maximum(np.rint(sides_mm / sides_mm.max() * longest_px), 1).astype(int).tolist()
    return first, second


def resized(plane: npt.NDArray[np.floating], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Resample a plane; PIL takes (width, height), which is the transpose of ours."""
    finite = np.nan_to_num(plane, posinf=0, neginf=0).astype(np.float32)
    picture = Image.fromarray(np.ascontiguousarray(finite)).resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(picture)


def covered(mask: npt.NDArray[np.bool_], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Resample a mask; a pixel counts that is covered at all: a finding of one voxel must not vanish."""
    picture = Image.fromarray(np.ascontiguousarray(mask).astype(np.uint8) * 255)
    return np.asarray(picture.resize(size[::-1], Image.Resampling.BOX)) > 0


def facing(canvas: Canvas) -> npt.NDArray[np.uint8]:
    """Turn a canvas to (height, width, 3) as a radiologist looks at the patient.

    All three planes run against both of their axes: to the right of the picture is left or posterior, down is
    posterior or inferior.
    """
    return np.ascontiguousarray(canvas[:, ::-1, ::-1].transpose(2, 1, 0))


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return (height, width, 3) as a PNG without metadata, in one channel where it is grey."""
    picture = Image.fromarray(pixels)
    if all(np.array_equal(pixels[..., 0], pixels[..., other]) for other in (1, 2)):
        picture = picture.convert("L")
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return stream.getvalue()
