"""An inspection on the terminal: tables of what is there, then what is wrong, by reason and with its cure."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from client.data.inspection.facts import Fault, Inspection
from client.data.inspection.text import overview, ranged, told
from client.printing import printable

MOST_CASES = 10  # of one reason that are told one by one; all are in --json and on the page


def print_inspection(found: Inspection, console: Console) -> None:
    """Print everything but the facts of each case."""
    _line(console, found.folder, style="bold")
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in overview(found):
        facts.add_row(name, Text(printable(text)))
    console.print(facts)
    if found.labels:
        _print_table(
            console,
            ("label value", "cases", "voxels or points", "ml"),
            [
                (
                    _named(one.value, one.name),
                    str(one.cases),
                    str(one.count),
                    ranged(one.ml) if one.ml else "",
                )
                for one in found.labels
            ],
        )
    if found.intensities:
        _print_table(
            console,
            ("intensity", "0.5 %", "50 %", "99.5 %"),
            [
                (one.channel, ranged(one.p0_5), ranged(one.p50), ranged(one.p99_5))
                for one in found.intensities
            ],
        )
    if found.labels or found.intensities:
        _line(console, "Ranges over the cases are lowest … middle … highest.", style="dim")
    _print_faults(console, "cannot be used", found.faults, "red")
    _print_faults(console, "look at", found.warnings, "yellow")
    if found.patients.decision:
        _print_title(console, "decide", "whose scans these are", "yellow")
        _line(console, found.patients.decision)


def _named(value: int, name: str | None) -> str:
    return f"{value} {name}" if name else str(value)


def _print_table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print()
    console.print(table)


def _print_faults(console: Console, what: str, faults: Sequence[Fault], style: str) -> None:
    by_reason: dict[str, list[Fault]] = {}
    for fault in faults:
        by_reason.setdefault(fault.reason, []).append(fault)
    for reason, mine in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        _print_title(console, what, f"{reason}, {len(mine)} case{'s' if len(mine) > 1 else ''}", style)
        for fault in mine[:MOST_CASES]:
            _line(console, f"  {told(fault)}")
        if len(mine) > MOST_CASES:
            _line(console, f"  and {len(mine) - MOST_CASES} more: see --json or --html", style="dim")
        _line(console, f"  cure: {mine[0].cure}", style="green")


def _print_title(console: Console, what: str, title: str, style: str) -> None:
    console.print()
    console.print(Text.assemble((what, style), ": ", (title, "bold")))


def _line(console: Console, text: str, *, style: str = "") -> None:
    console.print(Text(printable(text), style=style), soft_wrap=True)
