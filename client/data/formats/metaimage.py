"""MetaImage: `.mha`, one file, and `.mhd` with its `.raw`, as ITK writes them (BraTS 2015, VESSEL12).

The voxels are plain numbers behind a text header, so they are read here and not by SimpleITK, which would
open the file a second time and follow any path in it; tests compare with SimpleITK to the voxel.

MetaIO: https://itk.org/Wiki/MetaIO/Documentation. As in ITK, positions are LPS, `AnatomicalOrientation` moves
nothing, and each row of `TransformMatrix` is the direction of one axis.
"""

import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

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
from client.data.formats.metaheader import FLAGS, Fields, parsed
from client.data.formats.streams import (
    CHUNK,
    DEFLATE_RATIO,
    Stream,
    beside,
    plain,
    read_exactly,
    refuse_tail,
    start_of,
)
from client.data.limits import Limits
from client.data.volumes import Affine, Volume
from shared.errors import CaseError

TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
OPPOSITE = str.maketrans("RLAPIS", "LRPASI")


@dataclass(frozen=True, eq=False)
class _Plan:
    header: Header
    file: Path
    offset: int
    packed: int | None
    """Bytes of zlib data, or None for plain voxels."""


class MetaImage:
    """A text header, and the voxels after it or in the one file beside it that it names."""

    name = "metaimage"
    suffixes: tuple[str, ...] = (".mha", ".mhd")

    def recognises(self, path: Path) -> bool:
        """Whether it begins with the first line that MetaIO writes."""
        return start_of(path, 64).lstrip().startswith((b"ObjectType", b"NDims", b"Comment"))

    def header(self, path: Path, limits: Limits) -> Header:
        """Judge the header and the length of the file with the voxels; see `Format.header`."""
        with judged(path):
            return _plan(path, limits).header

    def read(self, path: Path, limits: Limits) -> Volume:
        """Read the voxels.

        Raises
        ------
        CaseError
            `unreadable`, `too_large`, `not_3d`, `unsupported_type`, `bad_affine`, and `outside_file` where
            the voxels are said to lie anywhere but in a plain file beside the header.
        """
        with judged(path):
            plan = _plan(path, limits)
            with plain(plan.file) as (stream, _):
                stream.seek(plan.offset)
                source: Stream = stream if plan.packed is None else _Inflated(stream, plan.packed)
                raw = read_exactly(source, plan.header.bytes_declared, plan.file)
                refuse_tail(source, plan.header.bytes_declared, limits.max_tail, plan.file)
            values: npt.NDArray[Any] = raw.view(plan.header.dtype)
            shape = (plan.header.components, *plan.header.shape)
            values = values.reshape(shape if plan.header.components > 1 else shape[1:], order="F")
            return Volume(scaled(values, 1.0, 0.0), plan.header.affine)


class _Inflated:
    """The content of a zlib or gzip stream, unpacked as it is asked for."""

    def __init__(self, stream: Stream, packed: int) -> None:
        self._stream = stream
        self._left = packed
        self._inflate = zlib.decompressobj(wbits=47)  # zlib.h: 32 + 15 tells zlib from gzip by itself

    def read(self, size: int, /) -> bytes:
        while not self._inflate.eof:
            source = self._inflate.unconsumed_tail or self._stream.read(min(CHUNK, self._left))
            if not self._inflate.unconsumed_tail:
                self._left -= len(source)
            # Even without new input: a match that is longer than what was asked for is kept by zlib.
            if found := self._inflate.decompress(source, size):
                return found
            if not source:
                break
        return b""


def _plan(path: Path, limits: Limits) -> _Plan:
    fields, end = parsed(path, limits)
    dtype, components = _voxel_type(fields, path)
    dimensions = fields.integer("NDims")
    sizes = fields.integers("DimSize", dimensions)
    if dimensions == 2:
        sizes = [*sizes, 1]
    shape = checked_shape(sizes, path, limits, components=components, itemsize=dtype.itemsize)
    affine, notes = _affine(fields, min(dimensions, 3))
    name = fields.text("ElementDataFile")
    local = name.upper() == "LOCAL"
    if not local and (name.upper().startswith("LIST") or "%" in name):
        raise unsupported(path, "a list of files", "ElementDataFile LOCAL or one name")
    file = path if local else beside(path, name)
    declared = math.prod(shape) * components * dtype.itemsize
    header = Header(
        format=MetaImage.name,
        shape=shape,
        components=components,
        dtype=dtype,
        affine=checked_affine(affine, path),
        bytes_declared=declared,
        files=(path,) if local else (path, file),
        notes=notes,
    )
    with plain(file) as (_, size):
        offset = end if local else _skipped(fields, size - declared, limits)
        packed = None
        most = size - offset
        if fields.flag("CompressedData", default=False):
            packed = min(fields.integer("CompressedDataSize", default=most) or most, most)
            most = packed * DEFLATE_RATIO
        if declared > most:
            raise unreadable(
                path, f"it declares {declared} bytes of voxels, {file.name} holds at most {most}"
            )
    return _Plan(header, file, offset, packed)


def _skipped(fields: Fields, spare: int, limits: Limits) -> int:
    """Bytes before the voxels of a file of their own; -1 means that the voxels are the last bytes."""
    skipped = fields.integer("HeaderSize", default=0)
    if skipped == -1 and not fields.flag("CompressedData", default=False):
        skipped = spare
    if not 0 <= skipped <= limits.max_offset:
        raise unreadable(fields.path, f"its HeaderSize is {skipped}, expected 0 to {limits.max_offset}")
    return skipped


def _voxel_type(fields: Fields, path: Path) -> tuple[np.dtype[Any], int]:
    if fields.text("ObjectType", default="Image") != "Image":
        raise unsupported(path, f"a MetaIO {fields.text('ObjectType')}", "an Image")
    if not fields.flag("BinaryData", default=True):
        raise unsupported(path, "numbers written as text", "BinaryData = True")
    named = fields.text("ElementType")
    kind = TYPES.get(named.removesuffix("_ARRAY"))
    if kind is None:
        raise unsupported(path, f"ElementType {named}", f"one of {', '.join(TYPES)}")
    slope = fields.numbers("ElementToIntensityFunctionSlope", 1, default=[1.0])
    offset = fields.numbers("ElementToIntensityFunctionOffset", 1, default=[0.0])
    if [*slope, *offset] != [1.0, 0.0]:  # MetaIO says to apply it, ITK does not: two readings of one file
        raise unsupported(path, f"an intensity function {[*slope, *offset]}", "stored values (1 and 0)")
    components = fields.integer("ElementNumberOfChannels", default=1)
    if not 1 <= components <= 2**8:
        raise unreadable(path, f"it has {components} channels")
    high_first = any(fields.flag(name, default=False) for name in FLAGS)
    return np.dtype(kind).newbyteorder(">" if high_first else "<"), components


def _affine(fields: Fields, axes: int) -> tuple[Affine, tuple[str, ...]]:
    """RAS+ affine of the first three axes, and notes; a third axis that is not there has 1 mm."""
    given = fields.integer("NDims")
    notes: list[str] = []
    spacing, matrix, origin = np.ones(3), np.eye(3), np.zeros(3)
    for name in ("ElementSpacing", "ElementSize"):
        if name in fields:
            spacing[:axes] = fields.numbers(name, given)[:axes]
            break
    else:
        notes.append("no ElementSpacing: a spacing of 1 mm is assumed")
    if (spacing <= 0).any():
        raise CaseError(
            "bad_affine",
            f"{fields.path} has the spacing {spacing.tolist()}, expected positive mm. Export it again.",
        )
    for name in ("TransformMatrix", "Rotation", "Orientation"):
        if name in fields:
            rows = np.reshape(fields.numbers(name, given * given), (given, given))
            matrix[:axes, :axes] = rows[:axes, :axes].T
            break
    for name in ("Offset", "Position", "Origin"):
        if name in fields:
            origin[:axes] = fields.numbers(name, given)[:axes]
            break
    lps = np.eye(4)
    lps[:3, :3], lps[:3, 3] = matrix * spacing, origin
    affine = LPS_TO_RAS @ lps
    stated = fields.text("AnatomicalOrientation", default="???").upper()
    if len(stated) == 3 and set(stated) <= set("RLAPIS") and np.isfinite(affine).all():
        codes = nib.orientations.aff2axcodes(affine)
        # ITK names where an axis comes from, nibabel where it goes to.
        if stated.translate(OPPOSITE) != "".join(code or "?" for code in codes):
            notes.append(f"AnatomicalOrientation {stated} contradicts TransformMatrix, which is followed")
    return affine, tuple(notes)
