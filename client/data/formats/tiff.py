"""TIFF: one 2-D image, grey or RGB, such as a photograph from a microscope.

Voxels that are stored plainly are decoded by tifffile. Packed ones are unpacked by libtiff (through Pillow):
it unpacks a strip into a buffer of the declared size and no further, which tifffile's decoders do not.
"""

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from client.data.formats.base import (
    LPS_TO_RAS,
    Header,
    checked_affine,
    checked_shape,
    judged,
    scaled,
    unreadable,
    unsupported,
)
from client.data.formats.streams import plain, read_exactly, start_of
from client.data.formats.tiffheader import Tags, tags_of
from client.data.limits import Limits
from client.data.volumes import Affine, Volume

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIP_OFFSETS, SAMPLES, STRIP_BYTES, X_RESOLUTION, Y_RESOLUTION = 273, 277, 279, 282, 283
UNIT, PREDICTOR, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTES, SAMPLE_FORMAT = (
    296,
    317,
    322,
    323,
    324,
    325,
    339,
)
PLAIN = 1
UNPACKED = {5: "LZW", 7: "JPEG", 8: "Deflate", 32946: "Deflate", 32773: "PackBits"}
# How much more than its own bytes a strip can unpack to. LZW: 12 bits stand for at most 4096 bytes; for
# JPEG no factor is stated anywhere, this one is far beyond what a blank picture reaches.
RATIOS = {PLAIN: 1, 5: 4096, 7: 4096, 8: 1032, 32946: 1032, 32773: 64}
KINDS = {1: "u", 2: "i", 3: "f"}
MM = {2: 25.4, 3: 10.0}  # a resolution is per inch or per centimetre
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, YCBCR = 0, 1, 2, 6
SMALLEST_MM = 1e-6  # a microscope's pixel may be far smaller than a scanner's
MODES = {"L": "u1", "RGB": "u1", "I;16": "u2", "I;16B": "u2", "F": "f4"}  # what Pillow unpacks unchanged


@dataclass(frozen=True)
class _Plan:
    header: Header
    samples: int
    compression: int
    photometric: int


class Tiff:
    """Array (X, Y, 1), or (3, X, Y, 1) for RGB; X runs to the right of the picture, Y down.

    As in ITK the right of the picture is the patient's left and down is posterior, where there is a patient.
    """

    name = "tiff"
    suffixes: tuple[str, ...] = (".tif", ".tiff")

    def recognises(self, path: Path) -> bool:
        """Whether it begins like TIFF or BigTIFF, in either byte order."""
        return start_of(path, 4) in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}

    def header(self, path: Path, limits: Limits) -> Header:
        """Judge the directory of tags; see `Format.header`."""
        with judged(path), plain(path) as (stream, size):
            return _plan(path, tags_of(path, stream, size), size, limits).header

    def read(self, path: Path, limits: Limits) -> Volume:
        """Read the picture; an alpha channel is left out.

        Raises
        ------
        CaseError
            `unreadable`, `too_large`, `unsupported_type` (several pages, a palette, a kind of packing),
            `bad_affine`.
        """
        with judged(path), plain(path) as (stream, size):
            plan = _plan(path, tags_of(path, stream, size), size, limits)
            stream.seek(0)  # judged and decoded from one open file: it cannot be exchanged in between
            content = io.BytesIO(read_exactly(stream, size, path).data)
            values = _unpacked(content, plan, path) if plan.compression != PLAIN else _plain(content)
            width, length, _ = plan.header.shape
            if values.shape != (expected := (length, width, plan.samples)):
                raise unreadable(path, f"it decodes to {values.shape}, its header declares {expected}")
            if plan.header.components == 1:
                picture = values[..., 0].T[..., None]
            else:
                picture = values[..., : plan.header.components].transpose(2, 1, 0)[..., None]
            return Volume(scaled(picture, 1.0, 0.0), plan.header.affine)


def _plan(path: Path, tags: Tags, size: int, limits: Limits) -> _Plan:
    samples, bits = tags.one(SAMPLES, 1), tags.one(BITS, 1)
    compression, photometric = tags.one(COMPRESSION, PLAIN), tags.one(PHOTOMETRIC, BLACK_IS_ZERO)
    kind = KINDS.get(tags.one(SAMPLE_FORMAT, 1))
    if compression != PLAIN and compression not in UNPACKED:
        known = ", ".join(sorted(set(UNPACKED.values())))
        raise unsupported(path, f"compression {compression}", f"none, {known}")
    if (
        kind is None
        or bits not in {1, 8, 16, 32, 64}
        or (kind == "f" and bits < 32)
        or (bits == 1 and kind != "u")
    ):
        raise unsupported(path, f"{bits} bits of sample format {tags.one(SAMPLE_FORMAT, 1)}", "1 to 64 bits")
    grey = samples == 1 and photometric in {WHITE_IS_ZERO, BLACK_IS_ZERO}
    colour = samples in {3, 4} and (photometric == RGB or (photometric == YCBCR and compression == 7))
    if not (grey or colour):
        raise unsupported(path, f"{samples} samples of photometric kind {photometric}", "grey or RGB")
    dtype = np.dtype(f"{kind}{max(bits // 8, 1)}").newbyteorder(tags.byte_order)
    components = 3 if colour else 1
    shape = checked_shape(
        [tags.one(WIDTH), tags.one(LENGTH), 1], path, limits, components=samples, itemsize=dtype.itemsize
    )
    _placed(path, tags, size, limits, bits=bits * samples, compression=compression)
    affine, notes = _affine(path, tags)
    if samples == 4:
        notes.append("the fourth channel (alpha) is left out")
    if photometric == WHITE_IS_ZERO:
        notes.append("stored with white as 0: values are as stored")
    header = Header(
        format=Tiff.name,
        shape=shape,
        components=components,
        dtype=dtype,
        affine=affine,
        bytes_declared=math.prod(shape) * samples * dtype.itemsize,
        files=(path,),
        notes=tuple(notes),
    )
    return _Plan(header, samples, compression, photometric)


def _placed(path: Path, tags: Tags, size: int, limits: Limits, *, bits: int, compression: int) -> None:
    """Refuse strips or tiles that lie outside the file or, where not packed, cannot hold the picture."""
    tiled = TILE_OFFSETS in tags.numbers
    offsets = tags.numbers.get(TILE_OFFSETS if tiled else STRIP_OFFSETS, ())
    lengths = tags.numbers.get(TILE_BYTES if tiled else STRIP_BYTES, ())
    if not offsets or len(offsets) != len(lengths):
        raise unreadable(path, f"it has {len(offsets)} pieces of picture and {len(lengths)} lengths")
    if any(offset + length > size for offset, length in zip(offsets, lengths, strict=True)):
        raise unreadable(path, f"a piece of its picture lies beyond its {size} bytes")
    if size > limits.max_bytes:
        raise unreadable(path, f"it has {size} bytes, expected at most {limits.max_bytes}")
    if tiled:
        sides = [tags.one(TILE_WIDTH), tags.one(TILE_LENGTH)]
        checked_shape([*sides, 1], path, limits)
        if min(sides) < 16 or len(offsets) > 2**16:
            raise unreadable(path, f"it has {len(offsets)} tiles of {sides}, expected sides from 16")
    if tags.one(PREDICTOR, 1) not in {1, 2, 3}:
        raise unreadable(path, f"its predictor is {tags.one(PREDICTOR)}, expected 1 to 3")
    needed = -(-tags.one(WIDTH) * bits // 8) * tags.one(LENGTH)
    if sum(lengths) * RATIOS[compression] < needed:
        raise unreadable(path, f"its picture needs {needed} bytes, its pieces hold {sum(lengths)}")


def _affine(path: Path, tags: Tags) -> tuple[Affine, list[str]]:
    unit = tags.one(UNIT, 2)
    found = [tags.rationals.get(tag, 0.0) for tag in (X_RESOLUTION, Y_RESOLUTION)]
    if unit in MM and min(found) > 0:
        spacing, notes = [MM[unit] / value for value in found], []
    else:
        spacing, notes = [1.0, 1.0], ["no resolution is stated: a spacing of 1 mm is assumed"]
    affine = LPS_TO_RAS @ np.diag([*spacing, 1.0, 1.0])
    return checked_affine(affine, path, smallest_mm=SMALLEST_MM), notes


def _plain(content: io.BytesIO) -> npt.NDArray[Any]:
    """Decode (Y, X, samples)."""
    with tifffile.TiffFile(content) as file:
        page = file.pages[0]
        values: npt.NDArray[Any] = np.asarray(page.asarray())
        if values.ndim == 3 and getattr(page, "planarconfig", 1) == 2:
            values = np.moveaxis(values, 0, -1)
        return values if values.ndim == 3 else values[..., None]


def _unpacked(content: io.BytesIO, plan: _Plan, path: Path) -> npt.NDArray[Any]:
    """Decode (Y, X, samples)."""
    with Image.open(content, formats=["TIFF"]) as picture:
        dtype = plan.header.dtype
        stored = MODES.get(picture.mode)
        if picture.size != plan.header.shape[:2]:
            raise unreadable(
                path, f"it unpacks to {picture.size}, its header declares {plan.header.shape[:2]}"
            )
        if stored != dtype.str[1:] or plan.samples != len(picture.getbands()):
            packing = UNPACKED[plan.compression]
            raise unsupported(
                path,
                f"{plan.samples} x {dtype} packed as {packing}",
                "grey of 8, 16 or float32 bits, or RGB of 8 bits, or a plain TIFF",
            )
        values = np.asarray(picture)
    if plan.photometric == WHITE_IS_ZERO:  # Pillow has turned them round
        values = np.iinfo(values.dtype).max - values
    return values if values.ndim == 3 else values[..., None]
