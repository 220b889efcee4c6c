"""DICOM SEG: a label that is stored as frames of single segments, each with its own place.

The label lies on the grid of the series that it was drawn on, if `read_on` is given that; read by itself it
lies on the smallest grid that holds its own frames. Values are segment numbers: `segments` names them.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from client.data.formats.base import Header, checked_shape, judged, unreadable, unsupported
from client.data.formats.dicom_file import (
    SEGMENTATION,
    DicomFile,
    is_dicom,
    opened_dicom,
    sop_class_of,
    whole,
)
from client.data.formats.dicom_frames import SAME_PLACE_MM, Frame, frames_in, group_of, same_plane, stacked
from client.data.formats.dicom_pixels import Pixels, frames_of, pixels_of
from client.data.limits import Limits
from client.data.volumes import Affine, Volume
from shared.errors import CaseError

OFF_GRID = 0.05  # voxels
MAX_NUMBER = 2**16 - 1  # PS3.3 C.8.20.2: segment numbers are 16 bits
LABEL_MAP = "LABELMAP"


@dataclass(frozen=True)
class Segment:
    """One structure of a SEG: its number (the value in the label) and its name."""

    number: int
    label: str


@dataclass(frozen=True, eq=False)
class _Plan:
    header: Header
    pixels: Pixels
    places: list[int]
    """Z index of each frame in the header's grid."""
    numbers: list[int]
    """Segment number of each frame; 0 where the frame's own values are the numbers."""
    segments: tuple[Segment, ...]


class DicomSeg:
    """One SEG file as one label."""

    name = "dicom_seg"
    suffixes: tuple[str, ...] = ()

    def recognises(self, path: Path) -> bool:
        """Whether it is a DICOM file of one of the segmentation classes."""
        if not is_dicom(path):
            return False
        try:
            return sop_class_of(path) in SEGMENTATION
        except CaseError:
            return False

    def header(self, path: Path, limits: Limits) -> Header:
        """Judge the frames and their own grid; see `Format.header`."""
        with judged(path):
            return _plan(path, limits, None).header

    def read(self, path: Path, limits: Limits) -> Volume:
        """Read all segments on the grid of their own frames.

        Raises
        ------
        CaseError
            `overlapping_segments`; `affine_mismatch`; `unsupported_type` (fractional); and as for a series.
        """
        return read_on(path, limits)


def segments(path: Path, limits: Limits) -> tuple[Segment, ...]:
    """Name the segments of a SEG file, by number."""
    with judged(path):
        return _plan(path, limits, None).segments


def read_on(
    path: Path, limits: Limits, *, grid: Header | Volume | None = None, wanted: Collection[int] | None = None
) -> Volume:
    """Read the `wanted` segments (all, without) onto the grid of a series, or onto their own.

    Raises
    ------
    CaseError
        `overlapping_segments`: two wanted ones claim a voxel; `affine_mismatch`: a frame lies off the grid.
    """
    with judged(path):
        plan = _plan(path, limits, grid)
        known = {segment.number: segment.label for segment in plan.segments}
        if unknown := set(wanted or ()) - known.keys():
            raise CaseError("label_values", f"{path} lacks the segments {sorted(unknown)}, found {known}.")
        chosen = known.keys() if wanted is None else set(wanted)
        label = np.zeros(plan.header.shape, np.uint16, order="F")
        for index, values in enumerate(frames_of(plan.pixels, limits)):
            number = plan.numbers[index]
            picture = _numbered(values, number, chosen, path, known)
            target = label[..., plan.places[index]]
            both = (target > 0) & (picture > 0) & (target != picture)
            if both.any():
                pair = sorted({int(target[both][0]), int(picture[both][0])})
                names = " and ".join(f"{each} ({known.get(each, '?')})" for each in pair)
                raise CaseError(
                    "overlapping_segments",
                    f"{path}: segments {names} share {int(both.sum())} voxels of a slice, expected none. "
                    "Choose the segments to read.",
                )
            np.maximum(target, picture, out=target)
        return Volume(label, plan.header.affine)


def _numbered(
    values: npt.NDArray[np.integer], number: int, chosen: Collection[int], path: Path, known: dict[int, str]
) -> npt.NDArray[np.uint16]:
    """Return the segment numbers (X, Y) of one decoded frame (rows, columns)."""
    if number:
        return ((values.T > 0) * (number if number in chosen else 0)).astype(np.uint16)
    found = set(np.unique(values).tolist()) - {0}
    if not found <= known.keys():
        raise CaseError("label_values", f"{path} holds {sorted(found)[:10]}, its segments are {known}.")
    return np.where(np.isin(values.T, list(chosen)), values.T, 0).astype(np.uint16)


def _plan(path: Path, limits: Limits, grid: Header | Volume | None) -> _Plan:
    file = opened_dicom(path, limits)
    if file.sop_class not in SEGMENTATION:
        raise unreadable(path, "it is no DICOM segmentation")
    kind = str(file.dataset.get("SegmentationType", "BINARY"))
    if kind not in {"BINARY", LABEL_MAP}:
        raise unsupported(path, f"a {kind} segmentation", f"BINARY or {LABEL_MAP}")
    pixels = pixels_of(file, limits)
    if pixels.samples != 1 or pixels.dtype.kind != "u":
        raise unsupported(path, f"{pixels.samples} samples of {pixels.dtype}", "whole numbers from 0")
    frames = frames_in(file, pixels.frames)
    same_plane(frames, path)
    affine, count = _own_grid(frames, path) if grid is None else (grid.affine, grid.shape[2])
    sides = (pixels.columns, pixels.rows)
    if grid is not None and sides != grid.shape[:2]:
        raise CaseError(
            "shape_mismatch",
            f"{path} has slices of {sides}, expected {grid.shape[:2]}. Export it on the series.",
        )
    shape = checked_shape([*sides, count], path, limits, itemsize=2)
    header = Header(
        format=DicomSeg.name,
        shape=shape,
        components=1,
        dtype=pixels.dtype,
        affine=affine,
        bytes_declared=math.prod((pixels.frames, *sides)) * pixels.bits // 8,
        files=(path,),
    )
    named = _segments(file)
    numbers = [0] * pixels.frames
    if kind != LABEL_MAP:
        numbers = [_number_of(file, index, named) for index in range(pixels.frames)]
    return _Plan(header, pixels, _places(frames, affine, count, path), numbers, named)


def _own_grid(frames: list[Frame], path: Path) -> tuple[Affine, int]:
    """RAS+ affine and number of slices of the smallest grid that holds the frames."""
    ordered = sorted(frames, key=lambda frame: frame.depth)
    places = [ordered[0]]
    for frame in ordered[1:]:
        if frame.depth - places[-1].depth > SAME_PLACE_MM:
            places.append(frame)
    if len(places) == 1:
        return stacked(places, path)[1], 1
    gaps = np.diff([frame.depth for frame in places])
    step = float(gaps.min())  # slices in which no segment lies are not stored
    lps_step = (places[-1].position - places[0].position) / max(round(gaps.sum() / step), 1)
    affine = stacked(places[:1], path)[1].copy()
    affine[:3, 2] = lps_step * (-1, -1, 1)
    return affine, round(float(gaps.sum()) / step) + 1


def _places(frames: list[Frame], affine: Affine, count: int, path: Path) -> list[int]:
    inverse = np.linalg.inv(affine)
    to_ras = np.array([-1.0, -1.0, 1.0])
    places = []
    for frame in frames:
        corner = inverse @ [*(frame.position * to_ras), 1.0]
        steps = inverse[:3, :3] @ (frame.axes * frame.spacing[:, None] * to_ras).T  # (3, 2) voxels
        index = round(float(corner[2])) if np.isfinite(corner).all() else -1
        turned = np.abs(steps - np.eye(3)[:, :2]).max()
        off = np.abs(corner[:3] - [0, 0, index]).max()
        if not (off < OFF_GRID and turned < 1e-3 and 0 <= index < count):
            raise CaseError(
                "affine_mismatch",
                f"{path}: frame {frame.index + 1} lies at voxel {corner[:3].round(3).tolist()} of {count} "
                f"slices, its axes {turned:.4f} from theirs, expected (0, 0, a slice). "
                "Give the series it was drawn on.",
            )
        places.append(index)
    return places


def _segments(file: DicomFile) -> tuple[Segment, ...]:
    found = [
        Segment(whole(item, "SegmentNumber", file.path), str(item.get("SegmentLabel", "")))
        for item in file.dataset.get("SegmentSequence") or ()
    ]
    numbers = [segment.number for segment in found]
    if (
        not found
        or len(set(numbers)) != len(numbers)
        or not all(0 <= number <= MAX_NUMBER for number in numbers)
    ):
        raise unreadable(file.path, f"its segments are numbered {numbers[:10]}")
    return tuple(sorted((segment for segment in found if segment.number), key=lambda segment: segment.number))


def _number_of(file: DicomFile, index: int, named: tuple[Segment, ...]) -> int:
    number = whole(
        group_of(file, index, "SegmentIdentificationSequence"), "ReferencedSegmentNumber", file.path
    )
    if number not in {segment.number for segment in named}:
        raise unreadable(file.path, f"frame {index + 1} is of segment {number}, which it does not have")
    return number
