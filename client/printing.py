"""What the commands share: their arguments, how they print, and how they show that they go on."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

SiteFile = Annotated[Path, typer.Argument(metavar="SITE", help="The hospital's site.yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars and no table; errors only.")]

COLOURS = {"stat": "bold red", "asap": "red", "urgent": "yellow", "routine": "none", "none": "none"}
"""Of the tiers."""

out = Console()
err = Console(stderr=True)


class Bars:
    """rich progress bars behind the (what, done, total) calls of a run."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, int] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        """Say how far `what` is."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)  # type: ignore[arg-type]


@contextmanager
def progress_bars(quiet: bool) -> Iterator[Bars]:
    """Show progress on the terminal's error stream while the block runs."""
    bars = Progress(
        TextColumn("{task.description:36}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        disable=quiet,
    )
    with bars:
        yield Bars(bars)


def two_lines_each(
    header: Sequence[str], rows: Sequence[Sequence[str]], below: Sequence[str], tiers: Sequence[str]
) -> list[Text]:
    """Columns as wide as what they hold; below each row what no column would hold. Nothing without rows."""
    if not rows:
        return []
    cells = [header, *rows]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for number, line in enumerate(cells):
        padded = (set_cell_size(cell, width) for cell, width in zip(line, widths, strict=True))
        style = COLOURS[tiers[number - 1]] if number else "bold"
        lines.append(Text("  ".join(padded).rstrip(), style=style))
        if number:
            lines.append(Text(f"{'':{widths[0]}}  {below[number - 1]}", style="dim"))
    return lines


def printable(text: str) -> str:
    """Replace what a terminal would obey instead of show: a file may be called anything."""
    return "".join(character if character.isprintable() else "?" for character in text)


def print_json(values: object) -> None:
    """Print values for programs."""
    print(json.dumps(values, indent=1))  # noqa: T201 - for programs
