"""What an inspection leaves for the page: the figures, whose cases they are, and the table's columns."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Self

from client.data.inspection.facts import CaseFacts, Inspection
from client.data.patients import PatientTable
from client.datasets.registry import DataSet
from shared.config import Config

PATIENTS_COLUMNS = ("case", "patient")


class Column(Config):
    """One column of the patients table over the usable cases; `ones` of `known`, where all are 0 or 1."""

    name: str
    known: int
    missing: int
    is_number: bool
    ones: int | None = None


class Imported(Config):
    """What an import did before the inspection."""

    cases: int
    left_out: tuple[tuple[str, str, str], ...] = ()  # name, reason, detail
    columns_not_carried_over: tuple[str, ...] = ()


class Summary(Config):
    """One finished look. `people`: the patient of each case that can be trained on."""

    folder: Path
    layout: str | None
    table: Path | None
    looked: datetime
    seconds: float
    found: Inspection
    people: dict[str, str]
    columns: tuple[Column, ...]
    imported: Imported | None = None

    @classmethod
    def of(
        cls,
        dataset: DataSet,
        found: Inspection,
        *,
        looked: datetime,
        seconds: float,
        imported: Imported | None,
    ) -> Self:
        """Sum up an inspection; the facts of each case stay on the page with the pictures."""
        table = PatientTable.load(dataset.table)
        usable = [one for one in found.facts if one.fault is None and (one.label or one.region)]
        return cls(
            folder=dataset.folder,
            layout=dataset.layout,
            table=dataset.table,
            looked=looked,
            seconds=seconds,
            found=found.model_copy(update={"facts": ()}),
            people={one.case: _patient(one, table) for one in usable},
            columns=tuple(_columns(table, [one.case for one in found.facts if one.fault is None])),
            imported=imported,
        )

    def is_of(self, dataset: DataSet) -> bool:
        """Whether it was this folder, by this layout and table."""
        return (self.folder, self.layout, self.table) == (dataset.folder, dataset.layout, dataset.table)


def _patient(one: CaseFacts, table: PatientTable) -> str:
    """As client.data.patients.Patients: the table decides, else the data set, else each case is one."""
    if table.names_patient_of(one.case):
        return table.patient_of(one.case)
    return one.patient or one.case


def _columns(table: PatientTable, cases: Iterable[str]) -> Iterable[Column]:
    listed = list(cases)
    for name in table.columns:
        if name in PATIENTS_COLUMNS:
            continue
        words = [word for case in listed if (word := table.word(case, name)) is not None]
        numbers = [table.history(case).get(name) for case in listed]
        known = [number for number in numbers if number is not None]
        binary = known and set(known) <= {0.0, 1.0} and len(known) == len(words)
        yield Column(
            name=name,
            known=len(words),
            missing=len(listed) - len(words),
            is_number=table.is_number(name),
            ones=sum(number == 1.0 for number in known) if binary else None,
        )
