"""The one form in which a site releases anything it measured: a sum over its patients.

The law: whatever is finished from `Sums.total(sites)` does not depend on how patients were grouped into
sites or in which order the sites answered. Counts agree exactly, floats to rounding (1e-12).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from shared.errors import DataError, WireError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Shapes = Mapping[str, tuple[int, ...]]

# Bounds on what one site may send, so that no imaginable number of sites can overflow a total.
LARGEST_COUNT = 2**48
LARGEST_FLOAT = 1e290


@dataclass(frozen=True, eq=False)
class Sums:
    """Named sums over patients: int64 arrays are counts, float64 arrays are anything else.

    Parameters
    ----------
    values
        Name to array of any number of axes; copied, converted to int64 or float64 and made read-only.

    Raises
    ------
    WireError
        An array that holds neither integers nor floats.
    """

    values: Mapping[str, npt.NDArray[Any]]

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "values", {name: _frozen(name, array) for name, array in self.values.items()}
        )

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self.values[name]

    def __add__(self, other: "Sums") -> "Sums":
        """Sum of two groups of patients; raises WireError when names, shapes or kinds differ."""
        return Sums.total((self, other))

    @classmethod
    def total(cls, parts: Iterable["Sums"]) -> Self:
        """Sum of all groups, floats correctly rounded (`math.fsum`), so that their order never matters.

        Raises
        ------
        WireError
            No parts at all, or parts whose names, shapes or kinds differ.
        """
        groups = list(parts)
        if not groups:
            raise WireError("found no sums to add up, expected at least one site's. Check who contributed.")
        expected = groups[0]
        for group in groups[1:]:
            _check_alike(group.values, expected.values)
        return cls({name: _total([group[name] for group in groups]) for name in expected.values})

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays by name, as they cross the wire."""
        return dict(self.values)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], template_of_shapes: Shapes | None) -> Self:
        """Check and take arrays that somebody else sent.

        Raises
        ------
        WireError
            Names or shapes other than the template's (None skips this check), values that are not finite
            or too large to add up, negative counts.
        """
        if template_of_shapes is not None:
            _check_names(arrays, template_of_shapes)
            for name, shape in template_of_shapes.items():
                if np.shape(arrays[name]) != tuple(shape):
                    raise WireError(f"{name} has shape {np.shape(arrays[name])}, expected {tuple(shape)}.")
        for name, array in arrays.items():
            _check_range(name, np.asarray(array))
        return cls(arrays)


def bin_index(probability: FloatArray, *, bins: int) -> npt.NDArray[np.intp]:
    """Equal-width bin of each probability: bin k holds k/bins <= p < (k+1)/bins, the last one also p = 1.

    Found by comparing with the edges themselves: `floor(p * bins)` puts 0.29 of 100 bins into bin 28.

    Raises
    ------
    DataError
        A probability outside 0..1, or not a number.
    """
    if not np.all((probability >= 0) & (probability <= 1)):
        raise DataError(
            f"probabilities must lie in 0..1, found {np.min(probability)} to {np.max(probability)}. "
            "Check the network's output for NaN."
        )
    edges = np.arange(1, bins) / bins
    return np.searchsorted(edges, probability, side="right")


def _frozen(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    kind = np.asarray(array).dtype.kind
    if kind not in "iuf":
        raise WireError(f"{name} is of type {np.asarray(array).dtype}, expected integers or floats.")
    copy = np.array(array, dtype=np.float64 if kind == "f" else np.int64)
    copy.setflags(write=False)
    return copy


def _total(arrays: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    if arrays[0].dtype.kind == "i":
        return np.asarray(sum(arrays[1:], start=arrays[0]))
    columns = np.stack(arrays).reshape(len(arrays), -1).T
    return np.array([math.fsum(column) for column in columns], dtype=np.float64).reshape(arrays[0].shape)


def _check_names(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or unknown:
        raise WireError(
            f"sums differ in their names: missing {missing}, unexpected {unknown}. "
            "Do all sites run the same version?"
        )


def _check_alike(found: Mapping[str, npt.NDArray[Any]], expected: Mapping[str, npt.NDArray[Any]]) -> None:
    _check_names(found, expected)
    for name, array in expected.items():
        other = found[name]
        if (other.shape, other.dtype) != (array.shape, array.dtype):
            raise WireError(
                f"{name} has shape {other.shape} of {other.dtype}, expected {array.shape} of {array.dtype}. "
                "Do all sites run the same study?"
            )


def _check_range(name: str, array: npt.NDArray[Any]) -> None:
    if array.dtype.kind in "iu":
        if np.any(array < 0) or np.any(array > LARGEST_COUNT):
            raise WireError(f"{name} holds counts outside 0..{LARGEST_COUNT}.")
    elif array.dtype.kind == "f" and not np.all(np.abs(array) <= LARGEST_FLOAT):
        raise WireError(f"{name} holds values that are not finite or exceed {LARGEST_FLOAT:g}.")
