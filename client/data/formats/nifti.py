"""NIfTI-1 and NIfTI-2 in one file, `.nii` or `.nii.gz`, and what they share with pairs (analyze.py).

NIfTI-1 standard: https://nifti.nimh.nih.gov/nifti-1
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from client.data.formats.base import (
    Header,
    checked_affine,
    checked_shape,
    judged,
    scaled,
    unreadable,
    unsupported,
)
from client.data.formats.streams import Stream, opened, read_exactly, refuse_tail, skip, start_of
from client.data.limits import Limits
from client.data.volumes import Affine, Volume
from shared.errors import CaseError

HEADERS = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
MAGIC = {348: (344, 4), 540: (4, 4)}  # where it stands, how much of it is compared
MOST_CHANNELS = 16  # more along the fourth axis are points in time
READ_UNITS = (0, 2)  # NIfTI-1: 0 unknown, 1 metre, 2 millimetre, 3 micrometre


@dataclass(frozen=True, eq=False)
class Plan:
    """What a header declares about the voxels, once believed; `offset` in bytes of `file`."""

    header: Header
    file: Path
    offset: int
    slope: float
    intercept: float


class Nifti:
    """One file that begins with its header; a fourth axis holds the channels, as the Decathlon has them.

    Later axes must be of length 1 and are dropped.
    """

    name = "nifti"
    suffixes: tuple[str, ...] = (".nii", ".nii.gz")

    def recognises(self, path: Path) -> bool:
        """Whether it begins with the size of a NIfTI header and says that header and voxels are one file."""
        return magic(start_of(path, 348, unpack=True)).startswith(b"n+")

    def header(self, path: Path, limits: Limits) -> Header:
        """Judge the header; see `Format.header`."""
        with judged(path), opened(path) as (stream, most_bytes):
            return self._plan(stream, most_bytes, path, limits)[0].header

    def read(self, path: Path, limits: Limits) -> Volume:
        """Read the voxels, scaled by `scl_slope` and `scl_inter`.

        Raises
        ------
        CaseError
            `unreadable` (not a file, not NIfTI, truncated), `too_large` (beyond the limits, or much more data
            than declared), `not_3d`, `unsupported_type`, `bad_affine`, `not_finite` (scaling).
        """
        with judged(path), opened(path) as (stream, most_bytes):
            plan, taken = self._plan(stream, most_bytes, path, limits)
            return voxels(stream, plan, taken, limits)

    def _plan(self, stream: Stream, most_bytes: int, path: Path, limits: Limits) -> tuple[Plan, int]:
        block, kind = first_block(stream, path)
        found = magic(block)
        if not found.startswith(b"n+"):
            raise unreadable(path, f"its magic is {found!r}, expected n+1 or n+2 (one file)")
        raw = kind(block, check=False)
        plan = plan_of(
            raw, limits, name=self.name, files=(path,), first_offset=len(block) + 4, scaling=scl_fields(raw)
        )
        held(plan, most_bytes)
        return plan, len(block)


def magic(block: bytes) -> bytes:
    """Return the magic of a first block, either byte order; empty if it is not of NIfTI or Analyze size."""
    size = next((s for order in ("little", "big") if (s := int.from_bytes(block[:4], order)) in MAGIC), 0)
    if not size:
        return b""
    at, length = MAGIC[size]
    return block[at : at + length]


def first_block(stream: Stream, path: Path) -> tuple[bytes, Callable[..., Any]]:
    """Read the header's bytes, and say which of nibabel's classes understands them."""
    size = stream.read(4)
    kind = HEADERS.get(int.from_bytes(size, "little")) or HEADERS.get(int.from_bytes(size, "big"))
    if kind is None:
        raise unreadable(path, "it does not begin like a NIfTI or Analyze file")
    block = size + stream.read(kind.sizeof_hdr - 4)
    if len(block) < kind.sizeof_hdr:
        raise unreadable(path, f"it ends inside its header, after {len(block)} bytes")
    return block, kind


def scl_fields(raw: Any) -> tuple[float, float]:
    """Return slope and intercept as a NIfTI header states them."""
    return float(raw["scl_slope"]), float(raw["scl_inter"])


def plan_of(
    raw: Any,
    limits: Limits,
    *,
    name: str,
    files: tuple[Path, ...],
    first_offset: int,
    scaling: tuple[float, float],
    notes: tuple[str, ...] = (),
) -> Plan:
    """Judge nibabel's view of the header in `files[0]`, whose voxels lie in `files[-1]`.

    They lie not before byte `first_offset`; `scaling` is slope and intercept; `name`, `files` and `notes` go
    into the `Header`.
    """
    path = files[0]
    axes = int(raw["dim"][0])
    sizes = [int(side) for side in raw["dim"][1 : axes + 1]]
    if not 1 <= axes <= 7:
        raise unreadable(path, f"it has {axes} axes, expected 1 to 7")
    dtype = _dtype(raw, path)
    components = 1
    if len(sizes) > 3 and 1 < sizes[3] <= MOST_CHANNELS and all(side == 1 for side in sizes[4:]):
        components = sizes[3]
        sizes = sizes[:3]
    shape = checked_shape(sizes, path, limits, components=components, itemsize=dtype.itemsize)
    offset = float(raw["vox_offset"])
    if not (offset.is_integer() and first_offset <= offset <= limits.max_offset):
        raise unreadable(path, f"its voxels are said to begin at byte {offset}")
    slope, intercept = scaling
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise CaseError(
            "not_finite",
            f"{path} has scaling {slope} and {intercept}, expected finite numbers. Export it again.",
        )
    if slope == 0:  # NIfTI-1: zero means that the values are stored unscaled
        slope, intercept = 1.0, 0.0
    header = Header(
        format=name,
        shape=shape,
        components=components,
        dtype=dtype,
        affine=_affine(raw, path),
        bytes_declared=math.prod(shape) * components * dtype.itemsize,
        files=files,
        notes=notes,
    )
    return Plan(header, files[-1], int(offset), slope, intercept)


def held(plan: Plan, most_bytes: int) -> None:
    """Raise CaseError `unreadable` if the file cannot hold what it declares."""
    declared = plan.offset + plan.header.bytes_declared
    if declared > most_bytes:
        raise unreadable(plan.file, f"its header declares {declared} bytes, it holds at most {most_bytes}")


def voxels(stream: Stream, plan: Plan, taken: int, limits: Limits) -> Volume:
    """Read the voxels of a plan from a stream of which `taken` bytes are read already."""
    skip(stream, plan.offset - taken, plan.file)
    raw = read_exactly(stream, plan.header.bytes_declared, plan.file)
    refuse_tail(stream, plan.offset + plan.header.bytes_declared, limits.max_tail, plan.file)
    values: npt.NDArray[Any] = raw.view(plan.header.dtype)
    if plan.header.components == 1:
        values = values.reshape(plan.header.shape, order="F")
    else:  # the channels are the last axis of a file, the slowest one in memory, and our first
        values = np.moveaxis(values.reshape((*plan.header.shape, plan.header.components), order="F"), -1, 0)
    return Volume(scaled(values, plan.slope, plan.intercept), plan.header.affine)


def _dtype(raw: Any, path: Path) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = raw.get_data_dtype()
    except Exception as error:
        raise unsupported(
            path, f"data type {raw['datatype']}", "one of NIfTI's integers or floats"
        ) from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise unsupported(path, str(dtype), "integers or floats up to 64 bits")
    return dtype


def _affine(raw: Any, path: Path) -> Affine:
    unit = int(raw["xyzt_units"]) & 7 if "xyzt_units" in raw.keys() else READ_UNITS[0]  # noqa: SIM118 no mapping
    if unit not in READ_UNITS:
        raise CaseError("bad_affine", f"{path} has length unit {unit}, expected 2 (mm). Export it again.")
    try:
        with np.errstate(all="ignore"):
            affine = np.array(raw.get_best_affine(), np.float64)
    except Exception as error:
        raise CaseError("bad_affine", f"{path} has no usable affine: {error}. Export it again.") from error
    return checked_affine(affine, path)
