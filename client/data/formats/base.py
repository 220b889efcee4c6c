"""What every file format does: claim a path by its content, judge its header, and only then read it.

A header is a claim: 377 bytes can declare 18 GB, and 2 MB of gzip can expand to 2 GB. So the laws are:

- `header` reads a bounded number of bytes and sets aside no memory for what the header declares;
- `read` believes a header only after size, type, place of the data, scaling and affine were judged against
  the length of the file and the site's `Limits`, and then decodes exactly what was declared, once;
- whatever is wrong becomes a `CaseError`; no other exception leaves a format;
- a header leads to no file but the ones beside it (`streams.beside`).
"""

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from client.data.limits import Limits
from client.data.volumes import Affine, Volume, spacing_mm
from shared.errors import CaseError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
for _library in ("pydicom", "tifffile", "nibabel"):  # for the same reason as `judged` silences warnings
    logging.getLogger(_library).setLevel(logging.CRITICAL)

SMALLEST_MM, LARGEST_MM = 1e-3, 1e3  # of a voxel's side
EXACT_BYTES = 2
"""Width of the integers that float32 holds exactly."""


@dataclass(frozen=True, eq=False)
class Header:
    """What a file declares about its voxels, once it is believed.

    `shape` is (X, Y, Z), `components` the numbers a voxel (3 for RGB), `dtype` the type as stored, before
    scaling. `affine` (4, 4) maps voxel indices to RAS+ world in mm. `bytes_declared` counts the unpacked
    voxels; `files` are all files that were or will be read. `notes` say in words what was assumed.
    """

    format: str
    shape: tuple[int, int, int]
    components: int
    dtype: np.dtype[Any]
    affine: Affine
    bytes_declared: int
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


class Format(Protocol):
    """One file format. Both readers raise CaseError and nothing else."""

    name: str
    suffixes: tuple[str, ...]
    """Lower case. Only chosen by where no format recognises the content, for the better message."""

    def recognises(self, path: Path) -> bool:
        """Whether the first bytes of `path` are of this format; never raises, never blocks."""

    def header(self, path: Path, limits: Limits) -> Header:
        """Judge the header without reading a voxel."""

    def read(self, path: Path, limits: Limits) -> Volume:
        """Read exactly what `header` declares; small integers may stay as they are stored."""


@contextmanager
def judged(path: Path) -> Iterator[None]:
    """Turn every exception but CaseError into CaseError `unreadable`, and keep libraries quiet.

    What a library warns about quotes the file, and a site's files are not to be quoted on a terminal.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except CaseError:
        raise
    except MemoryError as error:
        raise CaseError("too_large", f"{path} needs more memory than this machine has free.") from error
    except RecursionError as error:
        raise unreadable(path, "its header is nested too deeply") from error
    except Exception as error:
        raise unreadable(path, f"{type(error).__name__}: {error}") from error


def unreadable(path: Path, why: str) -> CaseError:
    """Make the error for a file that is damaged or not what it claims to be."""
    return CaseError("unreadable", f"{path} cannot be read: {why}. Export it again or remove it.")


def unsupported(path: Path, found: str, expected: str) -> CaseError:
    """Make the error for a sound file that holds what is not read here."""
    return CaseError("unsupported_type", f"{path} holds {found}, expected {expected}. Convert it.")


def checked_shape(
    sizes: Sequence[int], path: Path, limits: Limits, *, components: int = 1, itemsize: int = 1
) -> tuple[int, int, int]:
    """Return (X, Y, Z) of axes that are all positive, three but for trailing ones, and within the limits.

    Raises
    ------
    CaseError
        `unreadable` (an axis below 1), `not_3d`, `too_large`.
    """
    axes = [int(side) for side in sizes]
    if not axes or min(axes) < 1:
        raise unreadable(path, f"its dimensions are {axes}, expected positive numbers")
    while len(axes) > 3 and axes[-1] == 1:
        axes.pop()
    if len(axes) != 3:
        raise CaseError("not_3d", f"{path} has shape {axes}, expected three axes. Give one volume a file.")
    count = math.prod(axes) * components
    if count > limits.max_voxels or count * itemsize > limits.max_bytes:
        raise CaseError(
            "too_large",
            f"{path} declares {axes} voxels of {components * itemsize} bytes, expected at most "
            f"{limits.max_voxels} voxels and {limits.max_bytes} bytes. Crop it, or raise this site's limits.",
        )
    return axes[0], axes[1], axes[2]


def checked_affine(affine: npt.ArrayLike, path: Path, *, smallest_mm: float = SMALLEST_MM) -> Affine:
    """Return the (4, 4) affine as float64 if it is finite, of plausible spacing and not flat.

    Raises
    ------
    CaseError
        `bad_affine`.
    """
    matrix = np.array(affine, np.float64)
    with np.errstate(all="ignore"):
        spacing = spacing_mm(matrix)
        plausible = np.isfinite(matrix).all() and ((spacing > smallest_mm) & (spacing < LARGEST_MM)).all()
        # The volume of a voxel against that of a box with its edges: 1 is square, 0 is flat.
        if not plausible or abs(np.linalg.det(matrix[:3, :3])) < 1e-3 * spacing.prod():
            raise CaseError(
                "bad_affine",
                f"{path} has the unusable affine {matrix.tolist()}, expected finite numbers, sides between "
                f"{smallest_mm:g} and {LARGEST_MM:g} mm and three independent axes. Export it again.",
            )
    return matrix


def scaled(values: npt.NDArray[Any], slope: float, intercept: float) -> npt.NDArray[Any]:
    """Return `values * slope + intercept` as float32, computed in float64, a slab of the last axis at a time.

    Integers of at most 16 bits that are not scaled stay as they are: see `Volume`. What overflows becomes
    infinite and is found as not finite by check.py.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if (slope, intercept) == (1.0, 0.0):
            if values.dtype.kind in "iu" and values.dtype.itemsize <= EXACT_BYTES:
                return values.astype(values.dtype.newbyteorder("="), copy=False)
            return values.astype(np.float32)
        result = np.empty(values.shape, np.float32, order="F" if values.flags.f_contiguous else "C")
        for index in range(values.shape[-1]):
            result[..., index] = values[..., index].astype(np.float64) * slope + intercept
        return result
