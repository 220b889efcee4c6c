"""The patients table under the new names: columns of use that do not look identifying.

Carried are columns of numbers, yes/no and sex. Free text can hold anything, such as a name, and nothing reads
it here; columns are judged by their names as well. What is left out is told by name, at the site only.
"""

import csv
import re
from collections.abc import Collection
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from client.data.importing.pseudonyms import Pseudonyms
from client.data.importing.records import TableReport
from client.data.patients import PatientTable
from shared.files import write_atomically

TABLE = "patients.csv"
OWN = ("case", "patient")
IDENTIFYING = re.compile(
    r"(?i)(?:^|[^a-z])(?:id|ids|mrn|pid|nhs|ssn|uid|dob|zip|postcode|postal|street|city|town|tel|fax|mail|www"
    r"|url|ip|date|dates|datetime|account|licen[cs]e|device|serial|initials|photo|photos|contact)(?:$|[^a-z])"
    r"|name|birth|address|phone|mobile|e-?mail|insurance|passport|accession|patient.?id|study.?id|case.?id"
    r"|social.?sec|next.?of.?kin"
)


@dataclass(frozen=True)
class Rewritten:
    """The table as it is written, what is told of it, and the columns that were not carried over."""

    content: bytes
    report: TableReport
    identifying: tuple[str, ...]
    text: tuple[str, ...]


def looks_identifying(column: str) -> bool:
    """Whether the name of a column says that it may tell who somebody is."""
    return IDENTIFYING.search(column) is not None


def rewritten(table: PatientTable, names: Pseudonyms, cases: Collection[str]) -> Rewritten:
    """Rewrite the rows of the imported `cases` (original names), in the order of the new names."""
    rows = list(table.rows())
    others = [column for column in table.columns if column not in OWN]
    identifying = tuple(column for column in others if looks_identifying(column))
    text = tuple(column for column in others if column not in identifying and not table.is_number(column))
    kept = [column for column in others if column not in {*identifying, *text}]
    columns = [*(column for column in OWN if column in table.columns), *kept]
    lines = []
    for case, cells in rows:
        if case not in cases:
            continue
        own = {"case": names.of("case", case)}
        own["patient"] = names.of("patient", cells["patient"]) if table.has_subject_map else own["case"]
        lines.append([own.get(column, cells[column]) for column in columns])
    content = StringIO()
    csv.writer(content, lineterminator="\n").writerows([columns, *sorted(lines)])
    report = TableReport(
        rows=len(lines),
        rows_left_out=len(rows) - len(lines),
        columns=tuple(kept),
        columns_left_out=len(identifying) + len(text),
    )
    return Rewritten(content.getvalue().encode(), report, identifying, text)


def write_table(folder: Path, table: Rewritten | None) -> None:
    """Put the table into the folder, or remove the one of an earlier import."""
    path = folder / TABLE
    if table is None:
        path.unlink(missing_ok=True)
        return
    with write_atomically(path) as temporary:
        temporary.write_bytes(table.content)
