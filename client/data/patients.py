"""Whose scan a case is, the medical history, and outcomes, from one CSV file and the data set itself."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from client.data.layouts.base import Listed
from client.data.layouts.tree import stem
from shared.errors import DataError
from shared.files import write_atomically

MISSING = frozenset({"", "na", "n/a", "nan", "none", "null", "unknown", "?", "-"})
WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
SEXES = {"m": 1.0, "male": 1.0, "f": 0.0, "female": 0.0}


@dataclass(frozen=True)
class _Row:
    line: int
    patient: str
    cells: Mapping[str, str]


@dataclass(frozen=True)
class PatientTable:
    """Rows by case; a table without a `case` column has one row a patient, and the case is the patient.

    `has_subject_map` says whether the table tells which cases belong to one person. Where it does not,
    "patient" can only mean "case", and privacy per patient must not be claimed.
    """

    source: str = "no patients table"
    columns: tuple[str, ...] = ()
    has_subject_map: bool = False
    _rows: Mapping[str, _Row] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """Read a CSV file (comma, semicolon or tab; UTF-8) with a column `case`, `patient` or both.

        With None, a table that knows nobody. A case may be given with its `.nii.gz`.

        Raises
        ------
        DataError
            Unreadable file, neither column, a column or case twice, a row of another length, an empty
            case or patient, an infinite number, or a few words in a column of numbers; with line numbers.
        """
        if path is None:
            return cls()
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"the patients table {path} cannot be read: {error}") from error
        header_line = text.partition("\n")[0]
        reader = csv.reader(text.splitlines(), delimiter=max(",;\t", key=header_line.count))
        columns = tuple(name.strip().lower() for name in next(reader, []))
        _check_columns(columns, path)
        rows: dict[str, _Row] = {}
        for values in reader:
            if not any(value.strip() for value in values):
                continue
            line = reader.line_num
            if len(values) != len(columns):
                raise DataError(
                    f"{path} line {line}: {len(values)} values, expected {len(columns)} as in line 1."
                )
            cells = dict(zip(columns, (value.strip() for value in values), strict=True))
            case = stem(cells.get("case", cells.get("patient", "")))
            patient = cells.get("patient", case)
            if not case or not patient:
                raise DataError(
                    f"{path} line {line}: the case or patient is empty. Fill it in or drop the row."
                )
            if case in rows:
                raise DataError(f"{path} lines {rows[case].line} and {line}: {case!r} twice. Keep one row.")
            rows[case] = _Row(line, patient, cells)
        for column in columns:
            if column not in ("case", "patient"):
                _check_numbers(column, rows.values(), path)
        return cls(str(path), columns, {"case", "patient"} <= set(columns), rows)

    @classmethod
    def of_one(cls, case: str, cells: Mapping[str, str]) -> Self:
        """Make a table of one case, which counts as a patient, from its cells by column."""
        columns = tuple(name.strip().lower() for name in cells)
        values = dict(zip(columns, (cell.strip() for cell in cells.values()), strict=True))
        return cls("the history given", columns, False, {case: _Row(1, case, values)})

    def write(self, path: Path, cases: Iterable[str]) -> None:
        """Write a table of these cases' rows alone, comma separated, as `load` reads it."""
        rows = [self._rows[case] for case in sorted(cases) if case in self._rows]
        with write_atomically(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(row.cells for row in rows)

    def rows(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Every case with its cells by column, as they are written."""
        return ((case, row.cells) for case, row in self._rows.items())

    def is_number(self, column: str) -> bool:
        """Whether `history` can use a column: all that stands in it is a number, a yes or no, or a sex."""
        known = {*MISSING, *(SEXES if column == "sex" else ())}
        cells = (row.cells[column].lower() for row in self._rows.values())
        return all(cell in known or _number(cell) is not None for cell in cells)

    def patient_of(self, case: str) -> str:
        """Return the patient of a case; the case itself where the table does not say."""
        row = self._rows.get(case)
        return case if row is None else row.patient

    def history(self, case: str) -> dict[str, float]:
        """Return the numeric values of a case by column; missing values and text are left out.

        yes/no and true/false count as 1/0. A column `sex` of F/M adds `sex_male` 0/1.
        """
        row = self._rows.get(case)
        if row is None:
            return {}
        return read_history(row.cells)

    def word(self, case: str, column: str) -> str | None:
        """Return what stands in a cell; None where there is no such cell or it is missing."""
        row = self._rows.get(case)
        cell = "" if row is None else row.cells.get(column, "")
        return None if cell.lower() in MISSING else cell

    def gives(self, column: str) -> bool:
        """Whether `history` may know of a value by this name; `sex_male` comes from a column `sex`."""
        return column in self.columns or (column == "sex_male" and "sex" in self.columns)

    def outcome(self, case: str, column: str) -> int | None:
        """Read 0 or 1 from an outcome column; None where it is missing or there is no table.

        Raises
        ------
        DataError
            The table has no such column, or the value is neither 0 nor 1.
        """
        if not self.columns:
            return None
        if column not in self.columns:
            raise DataError(
                f"{self.source} has no column {column!r}, which the study calls the urgent outcome. "
                f"It has {', '.join(self.columns)}."
            )
        row = self._rows.get(case)
        if row is None or row.cells[column].lower() in MISSING:
            return None
        number = _number(row.cells[column])
        if number not in (0.0, 1.0):
            raise DataError(
                f"{self.source} line {row.line}: {column} is {row.cells[column]!r}, expected 0 or 1."
            )
        return int(number)

    def without_row(self, cases: Iterable[str]) -> int:
        """How many of `cases` an existing table does not mention; 0 if there is no table."""
        return sum(case not in self._rows for case in cases) if self.columns else 0

    def names_patient_of(self, case: str) -> bool:
        """Whether there is a row for the case, with a patient in it."""
        return "patient" in self.columns and case in self._rows


def read_history(cells: Mapping[str, str]) -> dict[str, float]:
    """Return the numbers among cells by column, as `PatientTable.history`."""
    numbers = {column: _number(cell) for column, cell in cells.items() if column not in ("case", "patient")}
    numbers.setdefault("sex_male", SEXES.get(cells.get("sex", "").lower()))
    return {column: number for column, number in numbers.items() if number is not None}


class Patients:
    """Whose scan each case is: the table decides, else the data set itself, else each case is a patient.

    table : the patients table
    listed : the cases, with the patients that the layout knows of
    """

    def __init__(self, table: PatientTable, listed: Iterable[Listed]) -> None:
        self.table = table
        self._known = {item.case: item.patient for item in listed if item.patient is not None}

    def patient_of(self, case: str) -> str:
        """Return the patient of a case; the case itself where nothing says."""
        if self.table.names_patient_of(case):
            return self.table.patient_of(case)
        return self._known.get(case, case)

    def mapped(self, cases: Iterable[str]) -> bool:
        """Whether it is known which of `cases` are one person: by the table, or for each by the data set."""
        if self.table.has_subject_map:
            return True
        among = list(cases)
        return bool(among) and all(case in self._known for case in among)

    def without_row(self, cases: Iterable[str]) -> int:
        """How many of `cases` neither an existing table nor the data set mentions; 0 if there is no table."""
        return self.table.without_row(case for case in cases if case not in self._known)


def _check_columns(columns: tuple[str, ...], path: Path) -> None:
    if not {"case", "patient"} & set(columns):
        raise DataError(
            f"{path} line 1: no column `case` or `patient`, found {', '.join(columns) or 'nothing'}."
        )
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise DataError(f"{path} line 1: columns named twice: {', '.join(map(repr, twice))}. Rename one.")


def _check_numbers(column: str, rows: Iterable[_Row], path: Path) -> None:
    """Refuse stray words among numbers, which would otherwise count as missing without anybody noticing."""
    present = [row for row in rows if row.cells[column].lower() not in MISSING]
    numbers = {row.line: _number(row.cells[column]) for row in present}
    strays = [row for row in present if numbers[row.line] is None]
    infinite = [row for row in present if math.isinf(numbers[row.line] or 0.0)]
    if infinite or 0 < len(strays) < len(present) / 2:
        row = (infinite or strays)[0]
        raise DataError(
            f"{path} line {row.line}: {column} is {row.cells[column]!r}, expected a finite number as in "
            "other rows. Correct it, or leave the cell empty if it is not known."
        )


def _number(cell: str) -> float | None:
    word = cell.lower()
    if word in MISSING:
        return None
    try:
        return WORDS[word] if word in WORDS else float(word)
    except ValueError:
        return None
