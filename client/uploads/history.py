"""The patients' history that comes with an upload: one form for one patient, or a table for many.

Both end as a table of the upload's own cases, as `wardround site predict --patients` takes one. Without
either the site's own table counts.
"""

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from client.data.history import asked, history_of, lacking, not_believed
from client.data.layouts.base import Listed
from client.data.layouts.tree import stem
from client.data.patients import MISSING, PatientTable
from client.uploads.records import Found
from shared.errors import ConfigError, DataError
from shared.files import write_atomically
from shared.study import Study

ONE, MANY, USED = "one.csv", "many.csv", "history.csv"
LONGEST_PATIENT = 64
FLAG = {"yes": "yes", "no": "no"}
SEX = {"F": "female", "M": "male"}


@dataclass(frozen=True)
class Question:
    """One field of the form: a number if `choices` is empty, else one of them (value -> how it is told)."""

    column: str
    label: str
    unit: str
    lowest: float | None
    highest: float | None
    choices: Mapping[str, str]


def questions(study: Study) -> list[Question]:
    """Return what the model asks of a patient's history, a column each."""
    found: dict[str, Question] = {}
    for term in asked(study):
        label = term.label or term.feature
        if term.feature == "sex_male":
            found["sex"] = Question("sex", "sex", "", None, None, SEX)
        elif term.level is not None:
            choices = dict(found[term.feature].choices) if term.feature in found else {}
            choices |= {term.level: term.level}
            found[term.feature] = Question(term.feature, term.feature, "", None, None, choices)
        else:
            choices = FLAG if term.kind == "flag" else {}
            found[term.feature] = Question(term.feature, label, term.unit, term.lowest, term.highest, choices)
    return list(found.values())


def cells_of(asked_for: Iterable[Question], fields: Mapping[str, str]) -> dict[str, str]:
    """Read the form: cells by column, without those that are not known.

    Raises
    ------
    ConfigError
        A value that the model would not use, with what it expects.
    """
    cells = {}
    for question in asked_for:
        value = fields.get(question.column, "").strip()
        if value.lower() in MISSING:
            continue
        if question.choices:
            if value not in question.choices and value != OTHER:
                told = ", ".join(question.choices.values())
                raise ConfigError(f"{question.label} is {value!r}, expected one of {told}, or not known.")
        else:
            _check_number(question, value)
        cells[question.column] = value
    return cells


OTHER = "another"
"""Chosen where a column of words holds none of those that the model looks for."""


def _check_number(question: Question, value: str) -> None:
    unit = f" {question.unit}" if question.unit else ""
    low, high = question.lowest, question.highest
    bounds = ("" if low is None else f" from {low:g}") + ("" if high is None else f" to {high:g}")
    expected = f"a number{bounds}{unit}"
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    within = (low is None or number >= low) and (high is None or number <= high)
    if not (within and abs(number) < float("inf")):
        raise ConfigError(
            f"{question.label} is {value!r}, expected {expected}. Correct it or leave it empty."
        )


def judge_table(path: Path, study: Study) -> list[str]:
    """Judge a table for many patients; return what should be known of it.

    Raises
    ------
    DataError
        It cannot be used at all.
    """
    try:
        table = PatientTable.load(path)
    except DataError as error:
        raise DataError(str(error).replace(str(path), "the table")) from error
    outcome = (
        ""
        if study.priority is None or study.priority.urgent.outcome is None
        else study.priority.urgent.outcome
    )
    wanted = {question.column.lower() for question in questions(study)} | {"sex_male", "case", "patient"}
    notes = []
    if unknown := [name for name in table.columns if name not in wanted]:
        told = ", ".join(f"{name} (the outcome)" if name == outcome.lower() else name for name in unknown)
        notes.append(f"Columns of the table that the model does not use: {told}.")
    notes += [
        f"{name}: {why} in the table, so it is missing for everybody."
        for name, why in lacking(table, study).items()
    ]
    histories = [history_of(case, table, study) for case, _ in table.rows()]
    for term, count in not_believed(histories, study):
        notes.append(
            f"{term.label or term.feature}: outside the plausible range in {count} rows, taken for missing."
        )
    return notes


def write_one(folder: Path, patient: str, cells: Mapping[str, str]) -> None:
    """Keep the form's answers, for all scans of the upload.

    Raises
    ------
    ConfigError
        A patient who cannot be called so.
    """
    if len(patient) > LONGEST_PATIENT or not patient.isprintable():
        raise ConfigError(f"a patient's number has at most {LONGEST_PATIENT} printable characters.")
    row = {"case": "one", **({"patient": patient} if patient else {}), **cells}
    _write(folder / ONE, list(row), [row])


def write_used(folder: Path, found: Sequence[Found]) -> list[str]:
    """Write the table of the scans that were found, if history came with them; return what fits no scan.

    A row of a table for many is that of the case, or of the zip or folder in which the scan came: the name
    of a DICOM series says nothing to a person.
    """
    scans = [(one.listed, one.sent) for one in found if one.listed is not None]
    if (folder / ONE).exists():
        table = PatientTable.load(folder / ONE)
        of_scan = {item.case: "one" for item, _ in scans}
        notes = []
    elif (folder / MANY).exists():
        table = PatientTable.load(folder / MANY)
        known = {case for case, _ in table.rows()}
        of_scan = {item.case: row for item, sent in scans if (row := _row_of(item, sent, known)) is not None}
        notes = _unused(
            known - set(of_scan.values()), [item.case for item, _ in scans if item.case not in of_scan]
        )
    else:
        return []
    cells = dict(table.rows())
    columns = ["case", "patient", *(name for name in table.columns if name not in ("case", "patient"))]
    rows = []
    for item, _ in scans:
        if item.case in of_scan:
            known_of = cells[of_scan[item.case]]
            patient = known_of.get("patient") or item.patient or item.case
            rows.append({**known_of, "case": item.case, "patient": patient})
    _write(folder / USED, columns, rows)
    return notes


def _row_of(item: Listed, sent: str, known: Collection[str]) -> str | None:
    names = [item.case, stem(sent), sent.removesuffix(".zip"), sent.rpartition("/")[2].removesuffix(".zip")]
    names += [path.name for path in item.images.values() if path.is_dir()]
    return next((name for name in names if name in known), None)


def _unused(rows: Collection[str], scans: Collection[str]) -> list[str]:
    notes = []
    if rows:
        notes.append(f"Rows of the table that fit no scan: {len(rows)} ({_some(sorted(rows))}).")
    if scans:
        notes.append(f"Scans without a row in the table: {len(scans)} ({_some(sorted(scans))}).")
    return notes


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


def _write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    with (
        write_atomically(path, private=True, durable=False) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
