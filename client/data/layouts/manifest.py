"""A table `manifest.csv` with the columns case, image, label, patient: for any arrangement at all.

Paths are relative to the folder and stay inside it. Every column that is not in OWN is a channel of the
image, called by the column; without a column `image` all channels are such. An empty cell is a file that the
case lacks; `-` under a channel says that the case is known not to have it. `label_kind` is volume (or empty),
window or points; `region` is a mask of what is looked at; `components` names the channels inside one file,
with `;` between them. What is known of a patient (age, outcome) stands in the patients table and not here.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import get_args

from client.data.layouts.base import (
    ONE_CHANNEL,
    Evidence,
    Kind,
    LabelKind,
    Listed,
    Part,
    Skipped,
    Sorted,
)
from client.data.layouts.layout import Layout
from client.data.layouts.tree import Tree
from shared.errors import CaseError, DataError
from shared.files import write_atomically

MANIFEST = "manifest.csv"
OWN = ("case", "label", "label_kind", "region", "patient", "components")
OPTIONAL = OWN[2:]
ABSENT = "-"
BETWEEN = ";"
KINDS: Mapping[str, LabelKind] = {"": "volume", **{kind: kind for kind in get_args(LabelKind)}}


class Manifest(Layout):
    """One row a case; an empty cell is a file that the case does not have."""

    name = "manifest"
    patients_by = "the column patient of manifest.csv"
    wants = "a table manifest.csv with the columns case and image"

    def evidence(self, tree: Tree) -> Evidence:
        """Specific if the table is there and its header has a case and a channel."""
        try:
            table = _Table.of(tree)
        except DataError:
            return Evidence.NONE
        return Evidence.SPECIFIC if table.channels else Evidence.NONE

    def sort(self, tree: Tree) -> Sorted:
        """Each cell by its column; a row with a path that cannot be used is skipped whole."""
        table = _Table.of(tree)
        parts: list[Part] = []
        skipped: list[Skipped] = []
        used: set[Path] = set()
        absent: set[tuple[str, str]] = set()
        for where, cells in table.rows:
            case = cells["case"]
            absent |= {(case, name) for name in table.channels if cells[name] == ABSENT}
            row: list[Part] = []
            wrong: list[CaseError] = []
            for column in (*table.channels, "label", "region"):
                if (name := cells.get(column, "")) in {"", ABSENT}:
                    continue
                try:
                    row.append(_part(tree, column, name, cells, where))
                except CaseError as error:
                    wrong.append(error)
            if wrong:
                others = "".join(f" Its other files: {part.path}." for part in row)
                skipped.append(Skipped(case, wrong[0].reason, f"{wrong[0]}{others}"))
                used |= {part.path for part in row}
            elif not row:
                skipped.append(Skipped(case, "image_missing", f"{where}: no image is named."))
            parts += [] if wrong else row
        return Sorted(parts, skipped, channels=table.channels, used=frozenset(used), absent=frozenset(absent))


def write_manifest(folder: Path, listed: Iterable[Listed]) -> None:
    """Write cases whose files lie in `folder` as its manifest, in one step; they are read back as equal.

    Raises
    ------
    DataError
        A case twice, or a name that a manifest cannot hold; nothing is written then.
    """
    items = sorted(listed, key=lambda item: item.case)
    channels = list(dict.fromkeys(channel for item in items for channel in item.images))
    columns = ["case", *(channels or [ONE_CHANNEL]), *OWN[1:]]
    rows = [_row(folder, item, channels) for item in items]
    unfit = [text for text in (*columns, *(v for row in rows for v in row.values())) if _unfit(text)]
    unfit += [name for name in channels if not fit_for_a_channel(name)]
    unfit += [name for item in items for name in item.components if not name or BETWEEN in name]
    unfit += [case for case, count in Counter(item.case for item in items).items() if not case or count > 1]
    if unfit:
        raise DataError(f"{folder / MANIFEST} cannot hold {unfit[0]!r}, or not twice. Give it another name.")
    used = [name for name in columns if name not in OPTIONAL or any(row[name] for row in rows)]
    table = StringIO()
    writer = csv.DictWriter(table, used, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with write_atomically(folder / MANIFEST) as path:
        path.write_bytes(table.getvalue().encode())


def fit_for_a_channel(name: str) -> bool:
    """Whether a manifest can hold a channel of this name."""
    return name not in {"", *OWN} and not set(name) & set(";\t") and not _unfit(name)


def _row(folder: Path, item: Listed, channels: list[str]) -> dict[str, str]:
    return {
        "case": item.case,
        **{name: _relative(folder, path) if (path := item.images.get(name)) else ABSENT for name in channels},
        "label": _relative(folder, item.label) if item.label else "",
        "label_kind": "" if item.label_kind == "volume" else item.label_kind,
        "region": _relative(folder, item.region) if item.region else "",
        "patient": item.patient or "",
        "components": BETWEEN.join(item.components),
    }


def _relative(folder: Path, path: Path) -> str:
    name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else ""
    if name in {"", ABSENT} or _inside(folder, name) != path:
        raise DataError(f"{folder / MANIFEST} cannot name {path}. Put it into that folder, or rename it.")
    return name


def _unfit(text: str) -> bool:
    """Whether a text would not be read back as it is."""
    return text != text.strip() or re.search("[\x00-\x1f\x7f\ud800-\udfff]", text) is not None


@dataclass(frozen=True)
class _Table:
    """`rows` are where each stands, in words, and its cells by column."""

    channels: tuple[str, ...]
    rows: list[tuple[str, dict[str, str]]]

    @classmethod
    def of(cls, tree: Tree) -> "_Table":
        path = tree.folder / MANIFEST
        if path not in tree or not path.is_file():
            raise DataError(f"{path} is not there. Add it, or choose another layout.")
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read: {error}") from error
        unquoted = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
        reader = csv.reader(StringIO(text, newline=""), delimiter=max(",;\t", key=unquoted.count))
        try:
            columns = tuple(name.strip() for name in next(reader, []))
            lines = [
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
                f"if you have them, {', '.join(OWN[1:])} and further channels, each once."
            )
        rows = []
        for number, values in lines:
            where = f"{path} line {number}"
            if len(values) != len(columns):
                raise DataError(f"{where}: {len(values)} values, expected {len(columns)} as in line 1.")
            cells = dict(zip(columns, values, strict=True))
            if not cells["case"]:
                raise DataError(f"{where}: the case is empty. Fill it in or drop the row.")
            rows.append((where, cells))
        return cls(channels, rows)


def _part(tree: Tree, column: str, name: str, cells: Mapping[str, str], where: str) -> Part:
    """Return what one cell names.

    Raises
    ------
    CaseError
        `outside_folder`; `image_missing`, `label_missing`, `region_missing`; `unsupported_label` for a kind
        of label that there is not.
    """
    kind: Kind = "label" if column == "label" else "region" if column == "region" else "image"
    label_kind = KINDS.get(cells.get("label_kind", ""))
    if label_kind is None:
        raise CaseError(
            "unsupported_label",
            f"{where}: label_kind is {cells['label_kind']!r}, expected {', '.join(get_args(LabelKind))} or "
            "nothing.",
        )
    path = _inside(tree.folder, name)
    if path is None:
        raise CaseError(
            "outside_folder", f"{where}: {column} is {name!r}, expected a relative path without `..`."
        )
    points = kind == "label" and label_kind == "points"
    if path not in (tree if points else tree.scan_paths):
        what = "table of points" if points else "scan"
        raise CaseError(f"{kind}_missing", f"{where}: {column} is {name!r}, there is no such {what} here.")
    return Part(
        cells["case"],
        kind,
        path,
        column if kind == "image" else ONE_CHANNEL,
        cells.get("patient") or None,
        label_kind=label_kind,
        components=tuple(filter(None, map(str.strip, cells.get("components", "").split(BETWEEN)))),
    )


def _inside(folder: Path, name: str) -> Path | None:
    relative = PurePosixPath(name.replace("\\", "/"))
    if not relative.parts or relative.is_absolute() or ".." in relative.parts:
        return None
    return None if "\0" in name or ":" in relative.parts[0] else folder / relative
