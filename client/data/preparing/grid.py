"""Channels, label and affine of one scan, which are always turned, cut, padded and resampled together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TypeVar

import nibabel as nib
import numpy as np
import numpy.typing as npt

from client.data.limits import MAX_VOXELS
from client.data.volumes import Affine, orientation
from shared.errors import CaseError

Channel = npt.NDArray[np.float32]
Label = npt.NDArray[np.uint8]
Voxel = TypeVar("Voxel", bound=np.generic)
Write = Callable[[Channel, Channel], object]
"""Write a channel onto another array of its shape, in some way."""
OFF_CENTRE = 1e-9  # voxels: below it, two ways of computing a tie give one result


@dataclass(frozen=True, eq=False)
class Grid:
    """Channels (X, Y, Z) float32, label (X, Y, Z) uint8 or None, affine (4, 4) from index to RAS+ mm."""

    channels: tuple[Channel, ...]
    label: Label | None
    affine: Affine

    @property
    def shape(self) -> tuple[int, int, int]:
        """(X, Y, Z)."""
        x, y, z = self.channels[0].shape
        return x, y, z

    def to_ras(self) -> "Grid":
        """Flip and swap axes so that indices grow towards right, anterior and superior; nothing is copied."""
        turn = orientation(self.affine)
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
        axes = [axis for axis in np.argsort(-step) if (start[axis], step[axis]) != (0, 1)]  # most saved first
        channels, label = self.channels, self.label
        for axis in axes:
            last = self.shape[axis] - 1
            positions = np.clip(start[axis] + step[axis] * np.arange(shape[axis]), 0, last)
            channels = tuple(_between(channel, axis, positions) for channel in channels)
            if label is not None:
                (label,) = _taken(label, axis, np.floor(positions + 0.5 + OFF_CENTRE).astype(np.intp))
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
            label[within] = self.label[inside]
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
        return np.array([np.count_nonzero(self.label == index) for index in range(1, classes + 1)], np.int64)


def _box(first: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> tuple[slice, ...]:
    return tuple(slice(low, high) for low, high in zip(first.tolist(), end.tolist(), strict=True))


def _copied(channel: Channel, onto: Channel) -> object:
    onto[...] = channel
    return onto


def _between(channel: Channel, axis: int, positions: npt.NDArray[np.float64]) -> Channel:
    """Interpolate linearly along one axis, at positions within it."""
    low = np.minimum(positions.astype(np.intp), max(channel.shape[axis] - 2, 0))
    weight = (positions - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    below, result = _taken(channel, axis, low, np.minimum(low + 1, channel.shape[axis] - 1))
    result -= below
    result *= weight
    result += below
    return result


def _taken(
    array: npt.NDArray[Voxel], axis: int, *indices: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[Voxel], ...]:
    """Take along one axis, for each of `indices`; in the array's own order in memory, where that is quick."""
    if abs(array.strides[0]) < abs(array.strides[2]):
        return tuple(part.T for part in _taken(array.T, 2 - axis, *indices))
    whole = np.ascontiguousarray(array)
    return tuple(whole.take(index, axis) for index in indices)
