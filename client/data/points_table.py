"""Tables of labelled points: rows x, y, z, label, in voxel indices from 0 of the image as it is stored.

VESSEL12 is labelled so (layouts/vessel12.py).
"""

import csv
from collections.abc import Collection
from pathlib import Path

import numpy as np
import numpy.typing as npt

from client.data.check import LARGEST_LABEL
from client.data.formats.base import judged
from client.data.formats.streams import plain
from shared.errors import CaseError

LARGEST_TABLE = 2**24  # bytes


def read_points(
    path: Path, shape: tuple[int, int, int], *, known: Collection[int] | None = None
) -> npt.NDArray[np.int64]:
    """Read a table (comma, semicolon or tab; a first line of words is passed over).

    Returns
    -------
    (points, 4) int64: voxel indices x, y, z on a grid of `shape`, and the label

    Raises
    ------
    CaseError
        `label_values` with the line's number: not four whole numbers, a point outside the grid, a label that
        is negative, enormous or not among `known`. `empty_label`, `unreadable`, `too_large`.
    """
    points = []
    for line, cells in _rows(path):
        numbers = _whole(cells)
        if numbers is None and line == 1 and not any(_is_number(cell) for cell in cells):
            continue
        where = f"{path} line {line}"
        if numbers is None:
            shown = ",".join(cells)[:80]
            raise CaseError(
                "label_values", f"{where}: found {shown!r}, expected x,y,z,label in whole numbers."
            )
        position, label = numbers[:3], numbers[3]
        if not all(0 <= index < side for index, side in zip(position, shape, strict=True)):
            raise CaseError(
                "label_values",
                f"{where}: the point {position} lies outside the image of {list(shape)} voxels, counted from "
                "0. Correct it.",
            )
        if not 0 <= label <= LARGEST_LABEL or (known is not None and label not in known):
            expected = f"0 to {LARGEST_LABEL}" if known is None else f"only {sorted(known)}"
            raise CaseError(
                "label_values",
                f"{where}: the label is {label}, expected {expected}. Correct it, or task.labels.",
            )
        points.append(numbers)
    if not points:
        raise CaseError("empty_label", f"{path} holds no point. Add some, or take the case out.")
    return np.array(points, np.int64)


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Cells by line number, without empty lines."""
    with judged(path), plain(path) as (stream, size):
        if size > LARGEST_TABLE:
            raise CaseError("too_large", f"{path} has {size} bytes, expected at most {LARGEST_TABLE}.")
        content = stream.read(LARGEST_TABLE)
    try:
        text = content.decode("utf-8-sig")
        header = text.partition("\n")[0]
        reader = csv.reader(text.splitlines(), delimiter=max(",;\t", key=header.count))
        return [
            (reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))
        ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CaseError("unreadable", f"{path} is no table of points: {error}. Export it again.") from error


def _whole(cells: list[str]) -> list[int] | None:
    """Four whole numbers, also where they are written as 12.0; None otherwise."""
    if len(cells) != 4 or not all(map(_is_number, cells)):
        return None
    numbers = [float(cell) for cell in cells]
    return [int(number) for number in numbers] if all(number.is_integer() for number in numbers) else None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
