"""The process that looks at one data set: imports it if it came as a zip, inspects it, draws its pictures.

It prints one line of JSON for each step, and one with `error` if it cannot go on. What it found lies in the
folder that it was given when it ends with code 0.
"""

import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from client.data.importing.run import Request, import_data
from client.data.inspection.folder import inspect
from client.data.inspection.page import write_page
from client.data.workers import cores
from client.datasets.registry import DataSet
from client.datasets.summary import Imported, Summary
from shared.errors import WardroundError
from shared.files import write_atomically
from shared.processes import end_with_stdin

ASKED, SUMMARY, PAGE, FAILED = "asked.json", "summary.json", "page.html", "failed.json"
MOST_WORKERS = 2  # the machine serves pages, trains and reads besides
NICENESS = 10


def look(folder: Path) -> None:
    """Do what `asked.json` in `folder` asks for.

    Raises
    ------
    WardroundError
        The data set cannot be imported or looked at.
    """
    dataset = DataSet.model_validate_json((folder / ASKED).read_bytes())
    began = time.monotonic()
    workers = min(cores(), MOST_WORKERS)
    imported = _imported(dataset, workers) if dataset.archive is not None else _before(folder)
    seen = inspect(
        dataset.folder,
        layout=dataset.layout,
        patients_csv=dataset.table,
        workers=workers,
        draw=True,
        progress=lambda done, total: _say(what="reading scans", done=done, total=total),
    )
    write_page(seen.found, seen.pictures, folder / PAGE)
    summary = Summary.of(
        dataset,
        seen.found,
        looked=datetime.now(UTC),
        seconds=time.monotonic() - began,
        imported=imported,
    )
    with write_atomically(folder / SUMMARY, private=True) as path:
        path.write_text(summary.model_dump_json(by_alias=True), encoding="utf-8")


def main() -> None:
    """Look at the data set whose folder is the one argument."""
    end_with_stdin()
    os.nice(NICENESS)
    try:
        look(Path(sys.argv[1]))
    except WardroundError as error:
        _say(error=str(error))
        sys.exit(error.exit_code)
    except Exception as error:  # told on the page, which has no other way to hear of it
        _say(error=f"{type(error).__name__}: {error}")
        sys.exit(1)


def _imported(dataset: DataSet, workers: int) -> Imported:
    _say(what="unpacking", done=0, total=0)
    done = import_data(
        Request(dataset.archive or dataset.folder, dataset.folder, workers=workers),
        lambda what, count, total: _say(what=f"{what} scans", done=count, total=total),
    )
    return Imported(
        cases=len(done.report.cases),
        left_out=tuple((skip.case, skip.reason, skip.detail) for skip in done.left_out),
        columns_not_carried_over=(*done.table.identifying, *done.table.text) if done.table else (),
    )


def _before(folder: Path) -> Imported | None:
    """Return what an earlier look said of the import."""
    path = folder / SUMMARY
    return Summary.model_validate_json(path.read_bytes()).imported if path.exists() else None


def _say(**values: Any) -> None:
    print(json.dumps(values), flush=True)  # noqa: T201 - read by looks.py
