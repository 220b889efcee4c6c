"""A site's part of the federated statistics: the training patients' raw scans, read one by one.

What one scan gives is kept in the cache under the key of its entry (store.py), so that a second request reads
no scan again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from client.data import layouts
from client.data.cache import SiteData
from client.data.formats import DEFAULT, Limits
from client.data.layouts.base import Listed, Skipped
from client.data.preparing.intensity import foreground
from client.data.preparing.reading import Scan, read_case
from client.data.store import write_json
from client.data.volumes import Affine, spacing_mm
from shared.errors import CaseError
from shared.histograms import apportioned
from shared.statistics import (
    FINDINGS,
    INTENSITY,
    OF_LABELLED_VOXELS,
    SHAPE,
    SIDE_MM,
    SPACING_MM,
    VOLUME_ML,
    statistics_shapes,
    statistics_sums,
)
from shared.statistics import Scan as Counted
from shared.study import Task
from shared.sums import FloatArray, IntArray, Sums

FORMAT = "wardround.scan-statistics/1"
TOUCHING = np.ones((3, 3, 3))
"""Voxels that touch at a corner are one finding, as in client/findings/components.py."""

Label = npt.NDArray[np.uint8]
Part = TypeVar("Part")


@dataclass(frozen=True)
class Described:
    """The sums, and the cases that could not be read."""

    sums: Sums
    unread: tuple[Skipped, ...]


def describe(
    folder: Path, *, layout: str | None, data: SiteData, task: Task, limits: Limits = DEFAULT
) -> Described:
    """Sum over the patients of the train part; one bad case is skipped and never ends it.

    Raises
    ------
    DataError
        The folder cannot be listed any more.
    """
    listed = {
        item.case: item for item in layouts.find(folder, layout).list_cases(folder, require_label=False)[0]
    }
    patients: dict[str, list[Counted]] = {}
    unread = []
    for case in data.split("train"):
        try:
            scan = _kept(data.folder / f"{case.key}.statistics.json", _found(listed, case.case), task, limits)
        except Exception as error:
            unread.append(Skipped.after(error, case.case, f"{case.case}: "))
        else:
            patients.setdefault(case.patient, []).append(scan)
    sums = statistics_sums(list(patients.values()), channels=len(task.channels), classes=len(task.classes))
    return Described(sums, tuple(unread))


def measured(item: Listed, task: Task, limits: Limits = DEFAULT) -> Counted:
    """Read one case and count it; see `shared.statistics.statistics_shapes`.

    Rows of labels stay empty where the label is no volume.

    Raises
    ------
    CaseError
        See `reading.read_case`.
    """
    shapes = statistics_shapes(len(task.channels), len(task.classes))
    counted = {name: np.zeros(shape, np.int64) for name, shape in shapes.items() if shape}
    scan = read_case(item, task, limits)
    counted |= _of_grid(scan) | ({} if scan.label is None else _of_label(scan.label, scan.affine, task))
    for number, channel in enumerate(scan.channels):
        counted["intensity"][number] = apportioned(INTENSITY.count(channel[foreground(channel)]))
        if scan.label is not None:
            counted[OF_LABELLED_VOXELS][number] = apportioned(INTENSITY.count(channel[scan.label > 0]))
    return counted


def _of_grid(scan: Scan) -> dict[str, IntArray]:
    """Spacing and shape, in the order of the world's axes."""
    order = np.argsort(nib.orientations.io_orientation(scan.source_affine)[:, 0])
    spacing, shape = spacing_mm(scan.source_affine)[order], np.array(scan.source_shape)[order]
    return {
        "spacing_mm": apportioned([SPACING_MM.count(side) for side in spacing]),
        "shape": apportioned([SHAPE.count(side) for side in shape]),
    }


def _of_label(label: Label, affine: Affine, task: Task) -> dict[str, IntArray]:
    spacing = spacing_mm(affine)
    voxels = np.bincount(label.ravel(order="K"), minlength=1 + len(task.classes))
    volume_ml = voxels[1:] * float(spacing.prod()) / 1000
    sides = _longest_sides_mm(label, spacing, task)
    return {
        "volume_ml": apportioned([VOLUME_ML.count(of_class) for of_class in volume_ml]),
        "findings": apportioned(FINDINGS.count(np.array(len(sides)))),
        "longest_side_mm": apportioned(SIDE_MM.count(sides if len(sides) else np.zeros(1))),
        "class_share": apportioned(voxels),
    }


def _longest_sides_mm(label: Label, spacing: FloatArray, task: Task) -> FloatArray:
    """Longest side of the box around each connected finding, (findings,)."""
    classes = [1 + task.classes.index(name) for name in task.finding_classes]
    components, _ = ndimage.label(np.isin(label, classes), structure=TOUCHING)
    boxes = ndimage.find_objects(components)
    sides = [[part.stop - part.start for part in box] for box in boxes]
    return np.array([(np.array(side) * spacing).max() for side in sides])


def _found(listed: Mapping[str, Listed], case: str) -> Listed:
    if case not in listed:
        raise CaseError("image_missing", f"{case} has gone since this site enrolled. Put it back.")
    return listed[case]


def _kept(path: Path, item: Listed, task: Task, limits: Limits) -> Counted:
    """Read what an earlier request found in this scan, or measure it and keep that."""
    shapes = {n: s for n, s in statistics_shapes(len(task.channels), len(task.classes)).items() if s}
    try:
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        scan = {name: np.array(kept[name], np.int64) for name in shapes}
        if kept["format"] == FORMAT and {name: rows.shape for name, rows in scan.items()} == shapes:
            return scan
    except (OSError, ValueError, KeyError, TypeError):
        pass  # new, damaged or of another version: measure it
    found = measured(item, task, limits)
    write_json(path, {"format": FORMAT, **{name: rows.tolist() for name, rows in found.items()}})
    return found
