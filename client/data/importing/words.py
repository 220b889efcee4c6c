"""What an import did, for a person and for a program. With original names: for the site's own eyes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from client.data.cures import cure
from client.data.importing.run import OF_FILES, Imported
from client.data.layouts.base import Skipped
from client.printing import printable

SHOWN = 10  # of one kind that are told one by one


def print_imported(done: Imported, console: Console) -> None:
    """Print what was done, then all that a person should look at."""

    def line(text: str, style: str = "") -> None:
        console.print(Text(printable(text), style), soft_wrap=True)

    def title(text: str, style: str = "") -> None:
        console.print()
        line(text, style)

    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in _overview(done):
        facts.add_row(name, Text(printable(text)))
    console.print(facts)
    for reason, mine in _by_reason(done.left_out):
        what = ("file", "files") if reason in OF_FILES else ("case", "cases")
        title(f"left out: {reason}, {_count(len(mine), *what)}", "red")
        _some(line, [f"  {skip.case}: {skip.detail}" for skip in mine])
        line(f"  cure: {cure(reason)}")
    if done.removed:
        title("removed, for their sources are gone or cannot be used any more", "yellow")
        _some(line, [f"  {done.names.name_of(case)}" for case in done.removed])
    if done.report.same_pixels:
        title("same pixels: all are imported", "yellow")
        groups = [sorted(map(done.names.name_of, group)) for group in done.report.same_pixels]
        _some(line, [f"  {', '.join(group)}" for group in groups])
        line(f"  cure: {cure('duplicate_pixels')}")
    if done.table and (done.table.identifying or done.table.text):
        title("columns of the patients table that were not carried over", "yellow")
        for column in done.table.identifying:
            line(f"  {column}: its name looks identifying")
        for column in done.table.text:
            line(f"  {column}: text, which may say anything and which nothing here uses")
    title(f"What each new name stands for: {done.names.table}. Keep it and the key; neither may leave.")


def as_values(done: Imported) -> dict[str, Any]:
    """JSON values of it all."""
    return {
        "schema": "wardround.imported/1",
        "layout": done.report.layout,
        "names": str(done.names.table),
        "cases": len(done.report.cases),
        "unchanged": list(done.unchanged),
        "written": list(done.written),
        "removed": list(done.removed),
        "left_out": [
            {"case": skip.case, "reason": skip.reason, "detail": skip.detail, "cure": cure(skip.reason)}
            for skip in done.left_out
        ],
        "same_pixels": [list(group) for group in done.report.same_pixels],
        "columns_not_carried_over": [*done.table.identifying, *done.table.text] if done.table else [],
    }


def _overview(done: Imported) -> Iterator[tuple[str, str]]:
    records = done.report.cases.values()
    channels = dict.fromkeys(file.channel for one in records for file in one.files.values() if file.channel)
    patients = {one.patient for one in records if one.patient}
    unknown = sum(one.patient is None for one in records)
    yield "layout", done.report.layout
    yield "imported", f"{_count(len(records), 'case', 'cases')}, {len(done.unchanged)} of them unchanged"
    yield "channels", ", ".join(channels)
    yield "patients", f"{len(patients)}" + (f", and {unknown} case(s) without one" if unknown else "")
    yield "left out", str(len(done.left_out))
    if done.table is not None:
        report = done.table.report
        found = ", ".join(report.columns) or "no column"
        yield "table", f"patients.csv: {_count(report.rows, 'row', 'rows')} with {found}"


def _by_reason(skipped: Sequence[Skipped]) -> list[tuple[str, list[Skipped]]]:
    found: dict[str, list[Skipped]] = {}
    for skip in skipped:
        found.setdefault(skip.reason, []).append(skip)
    return sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))


def _some(line: Callable[[str], None], texts: Sequence[str]) -> None:
    for text in texts[:SHOWN]:
        line(text)
    if len(texts) > SHOWN:
        line(f"  and {len(texts) - SHOWN} more: see --json")


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
