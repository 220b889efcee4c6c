"""A table `manifest.csv` with the columns case, image, label, patient: for any arrangement at all.

Paths are relative to the folder and stay inside it. Every other column is a further channel of the image,
called by the column; without a column `image` all channels are such. What is known of a patient (age,
outcome) stands in the patients table and not here.
"""

import csv
from pathlib import Path, PurePosixPath

from client.data.layouts.base import Evidence, Kind, Part, Skipped, Sorted
from client.data.layouts.layout import Layout
from client.data.layouts.tree import Tree
from shared.errors import DataError

MANIFEST = "manifest.csv"
OWN = ("case", "label", "patient")


class Manifest(Layout):
    """One row a case; an empty cell is a file that the case does not have."""

    name = "manifest"
    wants = "a table manifest.csv with the columns case and image"

    def evidence(self, tree: Tree) -> Evidence:
        """Specific if the table is there and its header has a case and a channel."""
        try:
            _columns, channels, _rows = _table(tree)
        except DataError:
            return Evidence.NONE
        return Evidence.SPECIFIC if channels else Evidence.NONE

    def sort(self, tree: Tree) -> Sorted:
        """Each cell by its column; a row with a path that cannot be used is skipped whole."""
        columns, channels, rows = _table(tree)
        parts: list[Part] = []
        skipped: list[Skipped] = []
        used: set[Path] = set()
        for line, values in rows:
            where = f"{tree.folder / MANIFEST} line {line}"
            if len(values) != len(columns):
                raise DataError(f"{where}: {len(values)} values, expected {len(columns)} as in line 1.")
            cells = dict(zip(columns, values, strict=True))
            case, patient = cells["case"], cells.get("patient") or None
            if not case:
                raise DataError(f"{where}: the case is empty. Fill it in or drop the row.")
            row, wrong = [], []
            for column in (*channels, "label"):
                if not (name := cells.get(column, "")):
                    continue
                kind: Kind = "label" if column == "label" else "image"
                if (path := _inside(tree, name)) is None:
                    reason = "outside_folder"
                    detail = f"{where}: {column} is {name!r}, expected a relative path without `..`."
                elif not _there(tree, path):
                    reason, detail = (
                        f"{kind}_missing",
                        f"{where}: {column} is {name!r}, there is no such scan.",
                    )
                else:
                    row.append(Part(case, kind, path, column, patient))
                    continue
                wrong.append(Skipped(case, reason, detail))
            if wrong:
                others = "".join(f" Its other files: {part.path}." for part in row)
                skipped.append(Skipped(case, wrong[0].reason, wrong[0].detail + others))
                used |= {part.path for part in row}
            elif not row:
                skipped.append(Skipped(case, "image_missing", f"{where}: no image is named."))
            parts += [] if wrong else row
        return Sorted(parts, skipped, channels=channels, used=frozenset(used))


def _table(tree: Tree) -> tuple[tuple[str, ...], tuple[str, ...], list[tuple[int, list[str]]]]:
    """Columns, those that are channels, and the rows with their line numbers."""
    path = tree.folder / MANIFEST
    if path not in tree or not path.is_file():
        raise DataError(f"{path} is not there. Add it, or choose another layout.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    header = text.partition("\n")[0]
    reader = csv.reader(text.splitlines(), delimiter=max(",;\t", key=header.count))
    try:
        columns = tuple(name.strip() for name in next(reader, []))
        rows = [
            (reader.line_num, [value.strip() for value in values])
            for values in reader
            if any(value.strip() for value in values)
        ]
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num}: {error}") from error
    channels = tuple(column for column in columns if column not in OWN)
    if "case" not in columns or not channels or "" in columns or len(set(columns)) < len(columns):
        raise DataError(
            f"{path} line 1: found the columns {', '.join(columns) or 'none'}, expected case, image and, "
            "if you have them, label, patient and further channels, each once."
        )
    return columns, channels, rows


def _inside(tree: Tree, name: str) -> Path | None:
    relative = PurePosixPath(name.replace("\\", "/"))
    outside = relative.is_absolute() or ".." in relative.parts or "\0" in name or ":" in relative.parts[0]
    return None if outside else tree.folder / relative


def _there(tree: Tree, path: Path) -> bool:
    """Whether it is a scan of the folder, or a folder of one DICOM series."""
    return path in tree.scan_paths
