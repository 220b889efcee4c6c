"""A whole folder of scans looked at: what is there, what is wrong with which case, and how to cure it.

Each file is decoded once, in several processes, and no case ends an inspection.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from client.data import layouts
from client.data.inspection.examine import Examined
from client.data.inspection.examining import examined
from client.data.inspection.facts import CaseFacts, Inspection, Picture
from client.data.inspection.summing import summed_up
from client.data.patients import PatientTable
from shared.errors import DataError

PATIENTS = "patients.csv"
MAX_PICTURED = 200  # cases in a contact sheet: some 20 MB of page


@dataclass(frozen=True, eq=False)
class Inspected:
    """What was found, and by case the pictures for the contact sheet, if they were asked for."""

    found: Inspection
    pictures: dict[str, tuple[Picture, ...]]


def inspect(
    folder: Path,
    *,
    layout: str | None = None,
    patients_csv: Path | None = None,
    workers: int = 1,
    draw: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Inspected:
    """Look at every case of `folder` and sum up; `progress` is called with (cases done, cases in all).

    Raises
    ------
    DataError
        No known layout or an ambiguous one, not one file that looks like a scan, a faulty patients table. A
        case never raises.
    """
    chosen = layouts.find(folder, layout)
    listed, skipped = chosen.list_cases(folder, require_label=False)
    if not listed and not skipped:
        raise DataError(f"{folder} holds no scan. Give the folder that holds the scans.")
    table = _table(folder, patients_csv)
    wanted = {listed[index].case for index in evenly(len(listed), MAX_PICTURED)} if draw else set()
    read: dict[str, Examined] = {}
    for done, (case, one) in enumerate(examined(listed, wanted, workers=workers), start=1):
        read[case] = one
        if progress is not None:
            progress(done, len(listed))
    facts = tuple(_with_patient(read[item.case].facts, table) for item in listed)
    found = summed_up(str(folder), chosen.name, facts, skipped, table)
    return Inspected(found, {case: one.pictures for case, one in sorted(read.items()) if one.pictures})


def evenly(count: int, most: int) -> list[int]:
    """Return at most `most` of the numbers below `count`, evenly chosen, from the first on."""
    return [index * count // most for index in range(most)] if count > most else list(range(count))


def _table(folder: Path, given: Path | None) -> PatientTable:
    own = folder / PATIENTS
    return PatientTable.load(given or (own if own.is_file() else None))


def _with_patient(facts: CaseFacts, table: PatientTable) -> CaseFacts:
    if table.has_subject_map and not table.without_row([facts.case]):
        return facts.model_copy(update={"patient": table.patient_of(facts.case)})
    return facts
