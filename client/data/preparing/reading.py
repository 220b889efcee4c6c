"""One listed case as a study sees it: channels and truth, read once, checked, not yet preprocessed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from client.data.check import check_grid, class_indices
from client.data.formats import DEFAULT, Limits
from client.data.layouts.base import LabelKind, Listed
from client.data.preparing.channels import Image, read_channels
from client.data.preparing.masks import read_mask
from client.data.preparing.points import points_by_class
from client.data.volumes import Affine, Volume
from shared.errors import CaseError
from shared.study import Task

FITTING: dict[str, tuple[LabelKind, ...]] = {"label": ("volume", "window"), "points": ("points",)}
"""Kinds of label that a study's `task.truth` can use."""


@dataclass(frozen=True, eq=False)
class Scan:
    """Channels (X, Y, Z) as in `Volume` and what is known about their voxels, on the grid of `affine` (4, 4).

    `label` is (X, Y, Z) uint8 class indices; `points` (points, 4) int64 stands in its place where only points
    are labelled. Both are None where nothing is known. `source_shape` and `source_affine` are those of the
    files, from which a labelled window may be cut; `steps` says so.
    """

    channels: tuple[npt.NDArray[Any], ...]
    affine: Affine
    label: npt.NDArray[np.uint8] | None
    points: npt.NDArray[np.int64] | None
    source_shape: tuple[int, int, int]
    source_affine: Affine
    steps: tuple[dict[str, Any], ...] = ()


def truth_of(item: Listed, task: Task) -> Path:
    """Return the file that holds the truth which the study wants.

    Raises
    ------
    CaseError
        `label_missing`; `unsupported_label` for a kind of label that the study cannot use.
    """
    if task.truth == "region":
        if item.region is None:
            raise CaseError("label_missing", f"{item.case}: no mask of a region, which task.truth asks for.")
        return item.region
    if item.label is None:
        raise CaseError("label_missing", f"{item.case}: no label for {_files(item)}. Add it.")
    if item.label_kind not in FITTING[task.truth]:
        raise CaseError(
            "unsupported_label",
            f"{item.case}: the label {item.label} is of the kind {item.label_kind}, the study expects "
            f"{' or '.join(FITTING[task.truth])}. Choose another task.truth, or leave the case out.",
        )
    return item.label


def read_case(item: Listed, task: Task, limits: Limits = DEFAULT) -> Scan:
    """Read and check a case's channels and truth.

    Raises
    ------
    CaseError
        See `read_channels`, `truth_of`, `points_by_class`; `shape_mismatch`, `affine_mismatch`, `not_finite`,
        `label_values` for the label; `empty_label` for a window in which nothing is labelled.
    """
    truth = truth_of(item, task)  # before anything is decoded
    image = read_channels(item, task, limits)
    source = image.shape, image.affine
    if task.truth == "points":
        points = points_by_class(truth, image.shape, task)
        return Scan(image.channels, image.affine, None, points, *source)
    what = "region" if task.truth == "region" else "label"
    grid = Volume(image.channels[0], image.affine)
    volume = read_mask(truth, grid, limits)
    check_grid(grid, volume, case=item.case, what=what)
    label = class_indices(volume.array, task, case=item.case, what=what)
    if task.truth == "region" or item.label_kind == "volume":
        return Scan(image.channels, image.affine, label, None, *source)
    return _window(image, label, volume.array, item)


def read_unlabelled(item: Listed, task: Task, limits: Limits = DEFAULT) -> Scan:
    """Read and check a case's channels alone, whatever label lies beside them; raises as `read_channels`."""
    image = read_channels(item, task, limits)
    return Scan(image.channels, image.affine, None, None, image.shape, image.affine)


def _window(image: Image, label: npt.NDArray[np.uint8], stored: npt.NDArray[Any], item: Listed) -> Scan:
    """Cut image and label to the box around what is labelled: nobody has judged the voxels outside it."""
    marked = np.nonzero(stored)
    if not marked[0].size:
        raise CaseError(
            "empty_label", f"{item.case}: {item.label} marks no voxel, so that no window is labelled."
        )
    start = np.array([axis.min() for axis in marked])
    end = np.array([axis.max() + 1 for axis in marked])
    box = tuple(slice(low, high) for low, high in zip(start, end, strict=True))
    move = np.eye(4)
    move[:3, 3] = start
    step = {"what": "labelled window", "start": start.tolist(), "shape": (end - start).tolist()}
    return Scan(
        channels=tuple(channel[box] for channel in image.channels),
        affine=image.affine @ move,
        label=label[box],
        points=None,
        source_shape=image.shape,
        source_affine=image.affine,
        steps=(step,),
    )


def _files(item: Listed) -> str:
    return ", ".join(str(path) for path in item.images.values())
