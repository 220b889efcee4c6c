"""Where each DICOM frame lies, and the one grid that a stack of frames makes.

Frames are put in the order of their positions along the normal of the image plane; neither file names nor
InstanceNumber say anything reliable about it. What is missing, twice there or unevenly spaced is an error: a
volume with a gap looks like any other.

Geometry: DICOM PS3.3 C.7.6.2.1.1; positions and directions are LPS, in mm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from client.data.formats.base import LPS_TO_RAS, checked_affine, unreadable
from client.data.formats.dicom_file import DicomFile, number, numbers
from client.data.volumes import Affine
from shared.errors import CaseError

Vector = npt.NDArray[np.float64]
SAME_PLACE_MM = 1e-3
SAME_DIRECTION = 1e-3
UNEVEN = 0.05  # of the spacing: positions are often rounded to a hundredth of a mm


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture: `index` in its file, place in LPS mm, and how stored values become real ones.

    `axes` (2, 3): directions of growing column and growing row; `spacing` (2,): mm between columns, between
    rows; `between` mm to the next frame, if the file says so.
    """

    path: Path
    index: int
    position: Vector
    axes: npt.NDArray[np.float64]
    spacing: Vector
    between: float | None
    slope: float
    intercept: float

    @property
    def normal(self) -> Vector:
        """Direction at right angles to the picture, of length 1."""
        normal: Vector = np.cross(self.axes[0], self.axes[1])
        return normal

    @property
    def depth(self) -> float:
        """Place along the normal, in mm."""
        return float(self.normal @ self.position)


def frames_in(file: DicomFile, count: int) -> list[Frame]:
    """Return the frames of a file: the one that it is, or those of its functional groups.

    Raises
    ------
    CaseError
        `bad_affine` (no usable place), `unreadable`, `not_3d` for many frames without a place of their own.
    """
    dataset, path = file.dataset, file.path
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    if groups is None:
        if count != 1:
            raise CaseError(
                "not_3d", f"{path} has {count} frames that state no place. Export a series instead."
            )
        return [_frame(path, 0, place=dataset, turn=dataset, measures=dataset, values=dataset)]
    if len(groups) != count:
        raise unreadable(path, f"it describes {len(groups)} frames and declares {count}")
    return [
        _frame(
            path,
            index,
            place=group_of(file, index, "PlanePositionSequence"),
            turn=group_of(file, index, "PlaneOrientationSequence"),
            measures=group_of(file, index, "PixelMeasuresSequence"),
            values=group_of(file, index, "PixelValueTransformationSequence"),
        )
        for index in range(count)
    ]


def group_of(file: DicomFile, index: int, keyword: str) -> Dataset:
    """Return a functional group of one frame: its own, or the one that all share, or an empty one."""
    for owners, place in (("PerFrameFunctionalGroupsSequence", index), ("SharedFunctionalGroupsSequence", 0)):
        items: Any = file.dataset.get(owners) or ()
        if place < len(items) and (found := items[place].get(keyword)):
            return found[0]  # type: ignore[no-any-return]  # pydicom's sequences hold data sets
    return Dataset()


def _frame(
    path: Path, index: int, *, place: Dataset, turn: Dataset, measures: Dataset, values: Dataset
) -> Frame:
    axes = numbers(turn, "ImageOrientationPatient", 6, path).reshape(2, 3)
    lengths = np.linalg.norm(axes, axis=1)
    if np.abs(lengths - 1).max() > 0.01 or abs(axes[0] @ axes[1]) > 0.01:
        raise CaseError(
            "bad_affine", f"{path} has axes {axes.tolist()}, expected two at right angles. Export it again."
        )
    rows_mm, columns_mm = numbers(measures, "PixelSpacing", 2, path)
    between = number(measures, "SpacingBetweenSlices", path, 0.0) or number(
        measures, "SliceThickness", path, 0.0
    )
    return Frame(
        path=path,
        index=index,
        position=numbers(place, "ImagePositionPatient", 3, path),
        axes=axes / lengths[:, None],
        spacing=np.array([columns_mm, rows_mm]),
        between=abs(between) or None,
        slope=number(values, "RescaleSlope", path, 1.0),
        intercept=number(values, "RescaleIntercept", path, 0.0),
    )


def same_plane(frames: Sequence[Frame], path: Path) -> None:
    """Raise CaseError `mixed_series` unless all frames have one orientation and one spacing."""
    first = frames[0]
    for frame in frames:
        if np.abs(frame.axes - first.axes).max() > SAME_DIRECTION:
            what = f"axes {first.axes.round(4).tolist()} in {first.path} and {frame.axes.round(4).tolist()}"
        elif np.abs(frame.spacing - first.spacing).max() > SAME_DIRECTION:
            what = f"pixels of {first.spacing.tolist()} mm in {first.path} and {frame.spacing.tolist()}"
        else:
            continue
        raise CaseError(
            "mixed_series", f"{path} holds {what} in {frame.path}, expected one grid. Take the odd ones out."
        )


def stacked(frames: Sequence[Frame], path: Path) -> tuple[list[Frame], Affine, tuple[str, ...]]:
    """Put frames in order; return them with the RAS+ affine of (column, row, frame) and notes.

    Raises
    ------
    CaseError
        `mixed_series`, `duplicate_slice`, `missing_slice`, `uneven_spacing`, `bad_affine`.
    """
    same_plane(frames, path)
    ordered = sorted(frames, key=lambda frame: frame.depth)
    first, last = ordered[0], ordered[-1]
    notes: list[str] = []
    if len(ordered) == 1:
        if first.between is None:
            notes.append("one slice that states no thickness: 1 mm is assumed")
        step = first.normal * (first.between or 1.0)
    else:
        even_steps(np.diff([frame.depth for frame in ordered]), ordered, path)
        step = (last.position - first.position) / (len(ordered) - 1)
        _straight(ordered, step, path)
        if np.linalg.norm(np.cross(step, first.normal)) > 0.01 * np.linalg.norm(step):
            notes.append("the slices are shifted against each other (tilted gantry); the affine says so")
    lps = np.eye(4)
    lps[:3, :2] = (first.axes * first.spacing[:, None]).T
    lps[:3, 2], lps[:3, 3] = step, first.position
    return ordered, checked_affine(LPS_TO_RAS @ lps, path), tuple(notes)


def even_steps(gaps: Vector, ordered: Sequence[Frame], path: Path) -> None:
    """Raise CaseError unless the gaps (mm, between neighbours of `ordered`) are all alike."""
    if gaps.min() < SAME_PLACE_MM:
        at = int(gaps.argmin())
        pair = f"{ordered[at].path.name} and {ordered[at + 1].path.name}"
        raise CaseError(
            "duplicate_slice",
            f"{path} has {int((gaps < SAME_PLACE_MM).sum())} slices twice, first {pair}: "
            f"found {gaps[at]:.4f} mm between them, expected {float(np.median(gaps)):.4f} mm. "
            "Keep one series (time, echo) a folder.",
        )
    expected = float(np.median(gaps))
    off = np.abs(gaps - expected)
    if off.max() <= UNEVEN * expected:
        return
    steps = np.rint(gaps / gaps.min())
    whole = np.abs(gaps / gaps.min() - steps).max() <= 2 * UNEVEN and steps.max() > 1
    at = int(gaps.argmax() if whole else off.argmax())
    found = float(gaps[at])
    where = f"between {ordered[at].path.name} and {ordered[at + 1].path.name}"
    if whole:
        expected = float(gaps[steps == 1].mean())
        raise CaseError(
            "missing_slice",
            f"{path} lacks {int((steps - 1).sum())} slice(s): found {found:.4f} mm {where}, "
            f"expected {expected:.4f} mm. Export the whole series.",
        )
    raise CaseError(
        "uneven_spacing",
        f"{path} is unevenly spaced: found {found:.4f} mm {where}, expected {expected:.4f} mm. "
        "Resample it, or export an even reconstruction.",
    )


def _straight(ordered: Sequence[Frame], step: Vector, path: Path) -> None:
    places = np.array([frame.position for frame in ordered])
    line = places[0] + np.arange(len(ordered))[:, None] * step
    off = np.linalg.norm(places - line, axis=1)
    if off.max() > max(UNEVEN * len(ordered) * float(np.linalg.norm(step)), SAME_PLACE_MM):
        raise CaseError(
            "mixed_series",
            f"{path}: {ordered[int(off.argmax())].path.name} lies {off.max():.3f} mm off the line of the "
            "others, expected one line. Take the odd ones out.",
        )
