"""Channels, label and affine of one scan, which are always turned, cut, padded and resampled together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from client.data.limits import MAX_VOXELS
from client.data.preparing.memory import box_above, parts
from client.data.volumes import Affine
from shared.errors import CaseError

Channel = npt.NDArray[Any]
Label = npt.NDArray[np.uint8]
Write = Callable[[Channel, npt.NDArray[np.float32]], object]
"""Write a channel onto another array of its shape, in some way."""
OFF_CENTRE = 1e-9  # voxels: below it, two ways of computing a tie give one result


@dataclass(frozen=True, eq=False)
class Grid:
    """Channels (X, Y, Z) as in `Volume`, label (X, Y, Z) uint8 or None, affine (4, 4) to RAS+ mm."""

    channels: tuple[Channel, ...]
    label: Label | None
    affine: Affine

    @property
    def shape(self) -> tuple[int, int, int]:
        """(X, Y, Z)."""
        x, y, z = self.channels[0].shape
        return x, y, z

    def turned(self, turn: npt.NDArray[np.float64]) -> "Grid":
        """Flip and swap axes by what `volumes.orientation` says, so that they are RAS; nothing is copied."""
        return Grid(
            tuple(nib.orientations.apply_orientation(channel, turn) for channel in self.channels),
            None if self.label is None else nib.orientations.apply_orientation(self.label, turn),
            self.affine @ nib.orientations.inv_ornt_aff(turn, self.shape),
        )

    def resampled(self, shape: tuple[int, ...], step: npt.NDArray[np.float64]) -> "Grid":
        """Resample to `shape` voxels, each `step` (3,) old voxels long, around the same centre.

        Channels linearly, the label by the nearest voxel; beyond the outermost voxels these go on.

        Raises
        ------
        CaseError
            `too_large`.
        """
        if np.prod(shape, dtype=float) > MAX_VOXELS:
            raise CaseError("too_large", f"resampled to {list(shape)} voxels, more than {MAX_VOXELS} in all.")
        start = (np.array(self.shape) - 1) / 2 - step * (np.array(shape) - 1) / 2
        axes = [axis for axis in range(3) if (start[axis], step[axis]) != (0, 1)]
        axes.sort(key=lambda axis: (-step[axis], -axis))  # most saved first; files mostly have z slowest
        positions = [
            np.clip(first + one * np.arange(count), 0, last - 1)
            for first, one, count, last in zip(start, step, shape, self.shape, strict=True)
        ]
        channels, label = self.channels, self.label
        for axis in axes:
            channels = tuple(_between(channel, axis, positions[axis]) for channel in channels)
        if label is not None:
            label = _nearest(label, positions)
        move = np.diag([*step, 1.0])
        move[:3, 3] = start
        return Grid(channels, label, self.affine @ move)

    def grouped(self, slices: int) -> "Grid":
        """Average the axial slices in `slices` equal groups; a slice between two goes to each by its share.

        The label of a group is the class with the largest share in it; of equal ones the highest.
        """
        count = self.shape[2]
        # A group is count / slices slices long. In units of 1 / slices of a slice all is a whole number.
        ends, group_ends = np.arange(count + 1) * slices, np.arange(slices + 1) * count
        first = np.maximum(ends[:-1, None], group_ends[None, :-1])
        last = np.minimum(ends[1:, None], group_ends[None, 1:])
        weights = np.maximum(last - first, 0).astype(
            np.float32
        )  # (slices before, groups); columns sum to count
        channels = tuple(channel @ (weights / count) for channel in self.channels)
        label = None
        if self.label is not None:
            label = np.zeros((*self.shape[:2], slices), np.uint8)
            most = np.zeros(label.shape, np.float32)
            for index in range(int(self.label.max()) + 1):
                share = (self.label == index).astype(np.float32) @ weights  # exact: whole numbers
                better = share >= np.maximum(most, 1)
                label[better], most[better] = index, share[better]
        step = np.diag([1.0, 1.0, count / slices, 1.0])
        step[2, 3] = (count / slices - 1) / 2
        return Grid(channels, label, self.affine @ step)

    def placed(self, start: npt.NDArray[np.int64], shape: npt.NDArray[np.int64]) -> "Grid":
        """Cut out the box of `shape` voxels that begins at `start`; see `stacked`."""
        return self.stacked(start, shape)[1]

    def stacked(
        self, start: npt.NDArray[np.int64], shape: npt.NDArray[np.int64], write: Sequence[Write] = ()
    ) -> tuple[npt.NDArray[np.float32], "Grid"]:
        """Cut out the box of `shape` voxels that begins at `start`: all channels in one (C, X, Y, Z) array.

        Outside the grid each channel is at its lowest and the label 0. `write[i]`, where it is given, writes
        channel i onto its part of that array.
        """
        size = np.array(self.shape)
        low, high = np.maximum(start, 0), np.minimum(start + shape, size)
        inside, within = _box(low, high), _box(low - start, high - start)
        beyond = bool((start < 0).any() or (start + shape > size).any())
        channels = np.empty((len(self.channels), *shape.tolist()), np.float32)
        for channel, placed, one in zip(self.channels, channels, write or repeat(_copied), strict=False):
            if beyond:  # air goes on outside the scan; zero would be average tissue after a z-score
                lowest = np.empty((1, 1, 1), np.float32)
                one(channel.min(keepdims=True), lowest)
                placed.fill(lowest[0, 0, 0])
            one(channel[inside], placed[within])
        label = None
        if self.label is not None:
            label = np.zeros(channels.shape[1:], np.uint8)
            part = self.label[inside]
            marked = box_above(part, 0)
            label[within][marked] = part[marked]
        move = np.eye(4)
        move[:3, 3] = start
        return channels, Grid(tuple(channels), label, self.affine @ move)

    def cut(self, start: npt.NDArray[np.int64], shape: npt.NDArray[np.int64]) -> "Grid":
        """Look at the box of `shape` voxels that begins at `start`, inside the grid; nothing is copied."""
        inside = _box(start, start + shape)
        move = np.eye(4)
        move[:3, 3] = start
        label = None if self.label is None else self.label[inside]
        return Grid(tuple(channel[inside] for channel in self.channels), label, self.affine @ move)

    def count(self, classes: int) -> npt.NDArray[np.int64]:
        """Count the voxels of each class, (classes,); zero without a label."""
        if self.label is None:
            return np.zeros(classes, np.int64)
        marked = self.label[box_above(self.label, 0)]
        return np.array([np.count_nonzero(marked == index) for index in range(1, classes + 1)], np.int64)


def _box(first: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> tuple[slice, ...]:
    return tuple(slice(low, high) for low, high in zip(first.tolist(), end.tolist(), strict=True))


def _copied(channel: Channel, onto: Channel) -> object:
    onto[...] = channel
    return onto


def _between(channel: Channel, axis: int, positions: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Interpolate linearly along one axis, at positions within it; the result is C-contiguous."""
    low = np.minimum(positions.astype(np.intp), max(channel.shape[axis] - 2, 0))
    high = np.minimum(low + 1, channel.shape[axis] - 1)
    weight = (positions - low).astype(np.float32)[:, None]
    result = np.empty([*channel.shape[:axis], len(positions), *channel.shape[axis + 1 :]], np.float32)
    across = max({0, 1, 2} - {axis}, key=lambda other: abs(channel.strides[other]))  # the slowest
    order = (across, axis, 3 - across - axis)
    for part, onto in parts(0, channel.transpose(order), result.transpose(order)):
        planes = np.array(part, np.float32, order="C")
        below, values = planes.take(low, 1), planes.take(high, 1)
        values -= below
        values *= weight
        values += below
        onto[...] = values
    return result


def _nearest(label: Label, positions: Sequence[npt.NDArray[np.float64]]) -> Label:
    """Take the voxel nearest to each position, given along each axis in ascending order."""
    nearest = [np.floor(along + 0.5 + OFF_CENTRE).astype(np.intp) for along in positions]
    marked = box_above(label, 0)
    inside = [
        slice(*np.searchsorted(along, (part.start, part.stop)))
        for along, part in zip(nearest, marked, strict=True)
    ]
    result = np.zeros([len(along) for along in nearest], np.uint8)
    result[*inside] = label[np.ix_(*(along[part] for along, part in zip(nearest, inside, strict=True)))]
    return result
