"""The statistics as tables: for a terminal, and as one HTML file that loads nothing."""

import html
import io
from collections.abc import Iterator
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from server.statistics_file import Statistics
from shared.described import Labelled, Quantiles
from shared.files import write_atomically
from shared.histograms import Quantile

SHOWN = ("5", "50", "95")
WIDTH = 120
PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Wardround: statistics of TITLE</title></head>
<body><pre style="font-family: ui-monospace, monospace">{code}</pre></body></html>
"""


def statistics_tables(found: Statistics) -> Iterator[Table]:
    """Sites, figures, shares of labels, suggestions."""
    yield _sites(found)
    yield _quantiles(found)
    if found.figures.labelled is not None:
        yield _shares(found.figures.labelled)
    yield _suggestions(found)


def write_page(found: Statistics, path: Path) -> None:
    """Write the tables to `path` as HTML, whole or not at all."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    for table in statistics_tables(found):
        console.print(table)
    # `{` in a name must not be taken for a field of the format
    title = html.escape(str(found.study["name"])).replace("{", "{{").replace("}", "}}")
    with write_atomically(path) as temporary:
        temporary.write_text(
            console.export_html(inline_styles=True, code_format=PAGE.replace("TITLE", title)),
            encoding="utf-8",
        )


def _sites(found: Statistics) -> Table:
    figures = found.figures
    table = Table(
        title=f"{found.study['name']}: statistics of {figures.patients} training patients",
        caption="each patient counts the same; ± is half of the bin that holds a figure",
    )
    for heading in ("site", "answer", "reason"):
        table.add_column(heading, overflow="fold")
    for heading in ("patients", "cases not read"):
        table.add_column(heading, justify="right")
    for name, site in found.sites.items():
        cells = [Text(name), site.status, Text(site.reason or "")]
        table.add_row(*cells, str(site.patients), str(site.unread))
    for event in found.events:
        if event.site not in found.sites:
            table.add_row(Text(event.site), event.status, Text(event.reason or ""), "", "")
    return table


def _quantiles(found: Statistics) -> Table:
    figures = found.figures
    table = Table(title="Quantiles")
    table.add_column("", no_wrap=True)
    for percent in SHOWN:
        table.add_column(f"{percent} %", justify="right")
    for channel, values in figures.intensity.items():
        _row(table, f"{channel}, foreground", values)
    for channel, values in (figures.labelled.intensity if figures.labelled else {}).items():
        _row(table, f"{channel}, labelled voxels", values)
    for axis, values in figures.spacing_mm.items():
        _row(table, f"spacing {axis}, mm", values)
    for axis, values in figures.shape.items():
        _row(table, f"voxels {axis}", values)
    if figures.labelled is not None:
        for name, volume in figures.labelled.volumes.items():
            _row(table, f"{name}, ml, where there is some", volume.volume_ml)
        _row(table, "longest side of a finding, mm", figures.labelled.longest_side_mm)
    return table


def _row(table: Table, name: str, values: Quantiles) -> None:
    table.add_row(Text(name), *(_figure(values.get(percent)) for percent in SHOWN))


def _figure(found: Quantile | None) -> str:
    return "-" if found is None else f"{found.value:.3g} ±{(found.high - found.low) / 2:.2g}"


def _shares(labelled: Labelled) -> Table:
    table = Table(title="Labels", show_header=False)
    table.add_row("patients without a finding", f"{labelled.share_tumour_free:.1%} ({labelled.tumour_free})")
    if labelled.findings:
        counts = ", ".join(f"{labelled.findings[percent]} at {percent} %" for percent in ("50", "95"))
        table.add_row("connected findings of a scan", counts)
    for name, share in labelled.class_share.items():
        table.add_row(f"voxels: {name}", f"{share:.4%}")
    for name, volume in labelled.volumes.items():
        table.add_row(f"patients without {name}", f"{volume.share_without:.1%}")
    return table


def _suggestions(found: Statistics) -> Table:
    table = Table(title="Suggested for the study")
    table.add_column("key", no_wrap=True)
    for heading in ("value", "because"):
        table.add_column(heading, overflow="fold")
    for one in found.suggestions:
        value = yaml.safe_dump(one.value, default_flow_style=True, sort_keys=False, width=1000)
        table.add_row(one.key, Text(value.strip()), Text(one.reason))
    return table
