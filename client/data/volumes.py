"""Read one NIfTI file without trusting it.

A header is a claim: 377 bytes can declare 18 GB, and 2 MB of gzip can expand to 2 GB. So the header is
judged first (size, type, place of the data, scaling, affine) against the length of the file, and only then
are exactly the declared bytes read. Whatever is wrong becomes a `CaseError`.

NIfTI-1 standard: https://nifti.nimh.nih.gov/nifti-1
"""

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import nibabel as nib
import numpy as np
import numpy.typing as npt

from shared.errors import CaseError

Affine = npt.NDArray[np.float64]
Voxel = TypeVar("Voxel", bound=np.generic)

MAX_VOXELS = 2**28
MAX_OFFSET = 2**24  # bytes of header extensions before the voxels
MAX_TAIL = 2**20  # bytes after the voxels: some writers pad
DEFLATE_RATIO = 1032  # zlib manual: deflate never compresses better than 1032 to 1
CHUNK = 2**22  # bytes
HEADERS = {348: nib.Nifti1Header, 540: nib.Nifti2Header}


@dataclass(frozen=True, eq=False)
class Volume:
    """One scan: `array` (X, Y, Z) float32 and `affine` (4, 4) float64, voxel index to RAS+ world in mm."""

    array: npt.NDArray[np.float32]
    affine: Affine


@dataclass(frozen=True)
class _Plan:
    """What a header declares about the voxels, once believed."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float


def read_volume(path: Path, *, max_voxels: int = MAX_VOXELS) -> Volume:
    """Read a `.nii` or `.nii.gz` file; compression is told by content, not by name.

    A fourth and later axes of length 1 are dropped. Values are scaled by `scl_slope` and `scl_inter`.

    Raises
    ------
    CaseError
        `unreadable` (not a file, not NIfTI, truncated), `too_large` (more than `max_voxels`, or much more
        data than declared), `not_3d`, `unsupported_type`, `bad_affine`, `not_finite` (scaling).
    """
    try:
        with _opened(path) as (stream, most_bytes):
            header = _read_header(stream, path)
            plan = _plan(header, path, max_voxels)
            affine = _affine(header, path)
            declared = plan.offset + math.prod(plan.shape) * plan.dtype.itemsize
            if declared > most_bytes:
                raise _unreadable(
                    path, f"its header declares {declared} bytes, it holds at most {most_bytes}"
                )
            _read_exactly(stream, plan.offset - len(header.binaryblock), path)
            raw = _read_exactly(stream, declared - plan.offset, path)
            if len(stream.read(MAX_TAIL + 1)) > MAX_TAIL:
                raise CaseError(
                    "too_large",
                    f"{path} goes on beyond the {declared} bytes its header declares. Export it again.",
                )
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, str(error)) from error
    values = raw.view(plan.dtype).reshape(plan.shape, order="F")
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found as not finite by check.py
        if (plan.slope, plan.intercept) != (1.0, 0.0):
            values = values.astype(np.float64) * plan.slope + plan.intercept
        return Volume(values.astype(np.float32), affine)


def to_ras(volume: Volume) -> Volume:
    """Flip and swap axes so that indices grow towards right, anterior and superior; no voxel changes value.

    An oblique scan keeps its small rotation: the axes become those nearest to RAS.
    """
    affine = volume.affine @ nib.orientations.inv_ornt_aff(_orientation(volume.affine), volume.array.shape)
    return Volume(array_to_ras(volume.array, volume.affine), affine)


def array_to_ras(array: npt.NDArray[Voxel], affine: Affine) -> npt.NDArray[Voxel]:
    """Flip and swap the axes of any (X, Y, Z) array on the grid of `affine`, as `to_ras` does."""
    turned: npt.NDArray[Voxel] = nib.orientations.apply_orientation(array, _orientation(affine))
    return np.ascontiguousarray(turned)


def spacing_mm(affine: Affine) -> npt.NDArray[np.float64]:
    """Return the distance between neighbouring voxel centres along each array axis, (3,) in mm."""
    spacing: npt.NDArray[np.float64] = np.linalg.norm(affine[:3, :3], axis=0)
    return spacing


def _orientation(affine: Affine) -> npt.NDArray[np.float64]:
    """(3, 2): the world axis nearest to each array axis, and 1 or -1 for its direction."""
    orientation: npt.NDArray[np.float64] = nib.orientations.io_orientation(affine)
    return orientation


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open the uncompressed file as a stream, with the most bytes that it can possibly hold."""
    if not path.is_file():  # a pipe or a device would block or never end
        raise _unreadable(path, "it is not a regular file")
    with path.open("rb") as raw:
        size = path.stat().st_size
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if packed:
            with gzip.GzipFile(fileobj=raw) as stream:
                yield stream, size * DEFLATE_RATIO  # type: ignore[misc]  # GzipFile is a BinaryIO in all but name
        else:
            yield raw, size


def _read_header(stream: BinaryIO, path: Path) -> Any:
    size = stream.read(4)
    kind = HEADERS.get(int.from_bytes(size, "little")) or HEADERS.get(int.from_bytes(size, "big"))
    if kind is None:
        raise _unreadable(path, "it does not begin like a NIfTI file")
    block = size + stream.read(kind.sizeof_hdr - 4)
    if len(block) < kind.sizeof_hdr:
        raise _unreadable(path, f"it ends inside its header, after {len(block)} bytes")
    header = kind(block, check=False)
    if not header["magic"].item().startswith(b"n+"):
        raise _unreadable(path, f"its magic is {header['magic'].item()!r}, expected n+1 or n+2 (one file)")
    return header


def _plan(header: Any, path: Path, max_voxels: int) -> _Plan:
    axes = int(header["dim"][0])
    sizes = [int(side) for side in header["dim"][1 : axes + 1]]
    if not 1 <= axes <= 7 or min(sizes) < 1:
        raise _unreadable(path, f"its dimensions are {[axes, *sizes]}")
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) != 3:
        raise CaseError("not_3d", f"{path} has shape {sizes}, expected three axes. Give one volume a file.")
    if math.prod(sizes) > max_voxels:
        raise CaseError("too_large", f"{path} declares {sizes} voxels, more than {max_voxels} in all.")
    try:
        dtype = header.get_data_dtype()
    except Exception as error:
        raise CaseError("unsupported_type", f"{path}: unknown data type {header['datatype']}") from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise CaseError(
            "unsupported_type", f"{path} holds {dtype}, expected integers or floats up to 64 bits."
        )
    offset = float(header["vox_offset"])
    if not (offset.is_integer() and header.sizeof_hdr + 4 <= offset <= MAX_OFFSET):
        raise _unreadable(path, f"its voxels are said to begin at byte {offset}")
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise CaseError("not_finite", f"{path} has scaling {slope} and {intercept}, expected finite numbers.")
    if slope == 0:  # NIfTI-1: zero means that the values are stored unscaled
        slope, intercept = 1.0, 0.0
    return _Plan((sizes[0], sizes[1], sizes[2]), dtype, int(offset), slope, intercept)


def _affine(header: Any, path: Path) -> Affine:
    unit = int(header["xyzt_units"]) & 7
    if unit not in (0, 2):  # NIfTI-1: 0 unknown, 1 metre, 2 millimetre, 3 micrometre
        raise CaseError("bad_affine", f"{path} has length unit {unit}, expected 2 (mm). Export it again.")
    try:
        with np.errstate(all="ignore"):
            affine = np.array(header.get_best_affine(), np.float64)
    except Exception as error:
        raise CaseError("bad_affine", f"{path} has no usable affine: {error}") from error
    spacing = spacing_mm(affine)
    plausible = np.isfinite(affine).all() and ((spacing > 1e-3) & (spacing < 1e3)).all()
    # The volume of a voxel against that of a box with its edges: 1 is square, 0 is flat.
    if not plausible or abs(np.linalg.det(affine[:3, :3])) < 1e-3 * spacing.prod():
        raise CaseError("bad_affine", f"{path} has the unusable affine {affine.tolist()}.")
    return affine


def _read_exactly(stream: BinaryIO, count: int, path: Path) -> npt.NDArray[np.uint8]:
    buffer = np.empty(count, np.uint8)
    filled = 0
    while filled < count:
        chunk = stream.read(min(CHUNK, count - filled))
        if not chunk:
            raise _unreadable(path, f"it ends {count - filled} bytes early")
        buffer[filled : filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
        filled += len(chunk)
    return buffer


def _unreadable(path: Path, why: str) -> CaseError:
    return CaseError("unreadable", f"{path} cannot be read: {why}. Export it again or remove it.")
