"""`wardround data`: look at a folder of scans. Each command imports what it needs when it is run."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from client.printing import AsJson, Quiet, out, print_json, progress_bars
from shared.errors import DataError

app = typer.Typer(help="Look at data sets, convert them, make some.", no_args_is_help=True)

MOST_WORKERS = 4  # by default: each holds a scan and its label in memory


@app.command()
def inspect(
    folder: Annotated[Path, typer.Argument(metavar="PATH", help="Folder that holds the scans.")],
    layout: Annotated[str | None, typer.Option(help="Data set layout. Default: recognised.")] = None,
    patients: Annotated[
        Path | None, typer.Option(help="Table of case and patient. Default: PATH/patients.csv.")
    ] = None,
    as_json: AsJson = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with pictures, for the hospital only.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that read. Default: one a core, at most 4.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Look at a folder of scans: what is there, what is wrong with which case, and how to cure it."""
    from client.data.inspection.folder import inspect as look_at
    from client.data.inspection.page import write_page
    from client.data.inspection.tables import print_inspection

    with progress_bars(quiet or as_json) as progress:
        seen = look_at(
            folder,
            layout=layout,
            patients_csv=patients,
            workers=workers or min(os.cpu_count() or 1, MOST_WORKERS),
            draw=html is not None,
            progress=lambda done, total: progress("reading scans", done, total),
        )
    if html is not None:
        write_page(seen.found, seen.pictures, html)
    if as_json:
        print_json(seen.found.model_dump(mode="json", by_alias=True))
    elif not quiet:
        print_inspection(seen.found, out)
    if not seen.found.usable:
        raise DataError(
            f"not one of the {seen.found.cases} cases in {folder} can be used. Cure the first above."
        )


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Folder or zip that holds the scans.")],
    dest: Annotated[Path, typer.Argument(metavar="DEST", help="Folder to make, or to bring up to date.")],
    layout: Annotated[str | None, typer.Option(help="Data set layout. Default: recognised.")] = None,
    patients: Annotated[
        Path | None, typer.Option(help="Table of case and patient. Default: SRC/patients.csv.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Key of the new names. Default: DEST.key, made once.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that read and write. Default: one a core.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Bring scans of any layout into one form: canonical NIfTI, keyed names, a manifest of every step."""
    from client.data.importing.run import Request, import_data
    from client.data.importing.words import as_values, print_imported

    request = Request(source, dest, layout, patients, key)
    if workers is not None:
        request = replace(request, workers=workers)
    with progress_bars(quiet or as_json) as progress:
        done = import_data(request, progress)
    if as_json:
        print_json(as_values(done))
    elif not quiet:
        print_imported(done, out)
    if not done.report.cases:
        raise DataError(f"not one case of {source} could be imported. Cure the first above.")
