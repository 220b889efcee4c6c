"""Large arrays a part at a time, in the order in which they lie in memory.

A processor reads neighbours in memory many times sooner than voxels that lie apart, and what fits its cache
sooner than what does not.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

AT_ONCE = 2**16
"""Voxels of a part: in float64 they and a result fit the cache of a core."""
Voxel = TypeVar("Voxel", bound=np.generic)
Box = tuple[slice, ...]


def as_stored(array: npt.NDArray[Voxel]) -> npt.NDArray[Voxel]:
    """Look at an array with its slowest axis first and none that runs backwards; nothing is copied."""
    order, forward = _turn(array)
    return array[forward].transpose(order)


def parts(axis: int, *arrays: npt.NDArray[Any]) -> Iterator[tuple[npt.NDArray[Any], ...]]:
    """Cut arrays that are equally long along `axis` into parts; nothing is copied.

    The first array's have at most AT_ONCE voxels, but for a plane that has more itself.
    """
    first = arrays[0]
    planes = max(1, AT_ONCE * first.shape[axis] // max(1, first.size))
    before = (slice(None),) * axis
    for start in range(0, first.shape[axis], planes):
        yield tuple(array[*before, start : start + planes] for array in arrays)


def box_above(array: npt.NDArray[Any], bound: Any) -> Box:
    """Return the box around all of (X, Y, Z) that is above `bound`, a value of it; it may be empty.

    Scans lie in air, and often that is one value: what is computed of it once is known of all of it.
    """
    order, forward = _turn(array)
    stored = array[forward].transpose(order)
    lines = stored.max(axis=2)
    slow = _ends(lines.max(axis=1) > bound)
    middle = _ends(lines.max(axis=0) > bound)
    fast = _ends(stored[slow, middle].max(axis=(0, 1), initial=bound) > bound)
    found = dict(zip(order, (slow, middle, fast), strict=True))
    return tuple(
        _mirrored(found[axis], array.shape[axis]) if forward[axis].step == -1 else found[axis]
        for axis in range(array.ndim)
    )


def _turn(array: npt.NDArray[Any]) -> tuple[Sequence[int], Box]:
    order = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    return order, tuple(slice(None, None, -1 if stride < 0 else 1) for stride in array.strides)


def _ends(marked: npt.NDArray[np.bool_]) -> slice:
    """From the first that is marked to the last."""
    places = np.flatnonzero(marked)
    return slice(int(places[0]), int(places[-1]) + 1) if places.size else slice(0, 0)


def _mirrored(part: slice, count: int) -> slice:
    return slice(count - part.stop, count - part.start)
