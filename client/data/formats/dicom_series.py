"""DICOM images: a folder that holds one series, or one file of one or many frames.

Positions decide the order (dicom_frames.py). Files of the folder that are not DICOM, and DICOM objects that
are no images, are left out and counted in the notes; a damaged image is an error, for it may be a slice.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.uid import UID

from client.data.formats.base import Header, checked_affine, checked_shape, judged, scaled, unreadable
from client.data.formats.dicom_file import SEGMENTATION, DicomFile, is_dicom, opened_dicom
from client.data.formats.dicom_frames import Frame, frames_in, stacked
from client.data.formats.dicom_pixels import Pixels, frames_of, pixels_of
from client.data.limits import Limits
from client.data.volumes import Volume
from shared.errors import CaseError

SUFFIXES: tuple[str, ...] = (".dcm", ".dicom", ".ima")
LOOKED_AT = 64  # files of a folder, before it is said to hold no DICOM


@dataclass(frozen=True, eq=False)
class Series:
    """The images of one folder that have one SeriesInstanceUID, and what lies beside them."""

    uid: str
    files: tuple[DicomFile, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Plan:
    header: Header
    ordered: list[Frame]
    pixels: dict[Path, Pixels]


class DicomSeries:
    """One series as one volume, rescaled to its real values (Hounsfield units for CT), slice by slice."""

    name = "dicom"
    suffixes = SUFFIXES

    def recognises(self, path: Path) -> bool:
        """Whether it is a DICOM file, or a folder with one among the first visible files."""
        try:
            if path.is_dir():
                return any(is_dicom(file) for file in _visible(path)[:LOOKED_AT])
        except OSError:
            return False
        return is_dicom(path)

    def header(self, path: Path, limits: Limits) -> Header:
        """Judge the headers of all slices; see `Format.header`."""
        with judged(path):
            return _plan(self._only(path, limits), path, limits).header

    def read(self, path: Path, limits: Limits) -> Volume:
        """Read the one series of a folder, or of a file.

        Raises
        ------
        CaseError
            `several_series`; `duplicate_slice`, `missing_slice`, `uneven_spacing`, `mixed_series`;
            `unreadable`, `too_large`, `unsupported_type`, `not_3d`, `bad_affine`.
        """
        with judged(path):
            return read_series(self._only(path, limits), path, limits)

    def _only(self, path: Path, limits: Limits) -> Series:
        found = series_in(path, limits)
        if len(found) != 1:
            sizes = ", ".join(f"{series.uid} ({len(series.files)} files)" for series in found[:5])
            raise CaseError(
                "several_series",
                f"{path} holds {len(found)} series, expected one: {sizes}. Give each a folder.",
            )
        return found[0]


def series_in(path: Path, limits: Limits) -> list[Series]:
    """Group the images of a folder (not of folders in it), or of one file, by series, largest first.

    Raises
    ------
    CaseError
        `unreadable`: no image, or a damaged file that is called one; `too_large`: too many files.
    """
    with judged(path):
        files = _visible(path) if path.is_dir() else [path]
        if len(files) > limits.max_files:
            raise CaseError(
                "too_large", f"{path} has {len(files)} files, expected at most {limits.max_files}."
            )
        found: dict[str, list[DicomFile]] = {}
        others = 0
        for file in files:
            if path.is_dir() and not is_dicom(file) and not file.name.lower().endswith(SUFFIXES):
                others += 1
                continue
            with judged(file):
                opened = opened_dicom(file, limits)
            if path.is_dir() and not _is_image(opened):
                others += 1
                continue
            if opened.offset == 0:
                raise unreadable(file, "it ends before its voxels")
            found.setdefault(str(opened.dataset.get("SeriesInstanceUID", "")), []).append(opened)
        if not found:
            raise unreadable(path, "there is no DICOM image in it")
        notes = (f"{others} file(s) of the folder are no images and are left out",) if others else ()
        return sorted(
            (Series(uid, tuple(members), notes) for uid, members in found.items()),
            key=lambda series: (-len(series.files), series.uid),
        )


def read_series(series: Series, path: Path, limits: Limits) -> Volume:
    """Read one of the series that `series_in` found at `path`."""
    with judged(path):
        plan = _plan(series, path, limits)
        slot = {(frame.path, frame.index): number for number, frame in enumerate(plan.ordered)}
        shape, components = plan.header.shape, plan.header.components
        array = None
        for file, pixels in plan.pixels.items():
            for index, values in enumerate(frames_of(pixels, limits)):
                if array is None:  # only now: a first frame was really there
                    array = np.empty(
                        (*(() if components == 1 else (components,)), *shape), np.float32, order="F"
                    )
                frame = plan.ordered[slot[file, index]]
                array[..., slot[file, index]] = scaled(values.T, frame.slope, frame.intercept)
        if array is None:
            raise unreadable(path, "it has no voxels")
        return Volume(array, plan.header.affine)


def header_of_series(series: Series, path: Path, limits: Limits) -> Header:
    """Judge one of the series that `series_in` found at `path`."""
    with judged(path):
        return _plan(series, path, limits).header


def ordered_frames(path: Path, limits: Limits) -> tuple[Frame, ...]:
    """Return the frames of the one series at `path` in the order of the last axis of what `read` returns.

    Raises
    ------
    CaseError
        As `DicomSeries.header`.
    """
    with judged(path):
        return tuple(_plan(DicomSeries()._only(path, limits), path, limits).ordered)


def _plan(series: Series, path: Path, limits: Limits) -> _Plan:
    pixels = {file.path: pixels_of(file, limits) for file in series.files}
    first = next(iter(pixels.values()))
    for other in pixels.values():
        if _kind(other) != _kind(first):
            raise CaseError(
                "mixed_series",
                f"{path} holds {_kind(first)} in {first.file.path.name} and {_kind(other)} in "
                f"{other.file.path.name} (columns, rows, samples, type), expected one kind. "
                "Take the odd ones out.",
            )
    if first.bits == 1:
        raise unreadable(path, "its voxels are single bits, and it is no segmentation")
    if sum(one.frames for one in pixels.values()) > limits.max_files:
        raise CaseError("too_large", f"{path} has more than {limits.max_files} frames.")
    frames = [frame for file in series.files for frame in frames_in(file, pixels[file.path].frames)]
    shape = checked_shape(
        [first.columns, first.rows, len(frames)],
        path,
        limits,
        components=first.samples,
        itemsize=first.dtype.itemsize,
    )
    ordered, affine, notes = stacked(frames, path)
    header = Header(
        format=DicomSeries.name,
        shape=shape,
        components=first.samples,
        dtype=first.dtype,
        affine=checked_affine(affine, path),
        bytes_declared=math.prod(shape) * first.samples * first.dtype.itemsize,
        files=tuple(file.path for file in series.files),
        notes=(*series.notes, *notes),
    )
    return _Plan(header, ordered, pixels)


def _is_image(file: DicomFile) -> bool:
    """Whether it is an image, or ought to be: one that was cut off before its voxels must not go missing."""
    if file.sop_class in SEGMENTATION:
        return False
    return file.offset > 0 or "Image Storage" in UID(file.sop_class).name


def _kind(pixels: Pixels) -> tuple[int, int, int, str]:
    return pixels.columns, pixels.rows, pixels.samples, str(pixels.dtype)


def _visible(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
