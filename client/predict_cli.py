"""`wardround site predict`: scans in, a mask, findings and a reading priority out."""

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from client.printing import AsJson, Quiet, SiteFile, out, print_json, progress_bars
from shared.errors import ConfigError, DataError

if TYPE_CHECKING:
    from client.result import Result
    from client.worklist import Worklist
    from shared.model import TrainedModel


def predict(
    site_file: SiteFile,
    scans: Annotated[
        list[Path],
        typer.Argument(metavar="SCAN...", help="Files, DICOM folders, or folders in any layout."),
    ],
    model: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Model folder of a run. Default: WORK/model.")
    ] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Default: WORK/predictions.")
    ] = None,
    layout: Annotated[str | None, typer.Option(help="Data set layout. Default: recognised.")] = None,
    patients: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Table of history. Default: that of the site.")
    ] = None,
    history: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="History of one scan, instead of the table. Repeatable."),
    ] = None,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="Read each scan mirrored too, and say how sure it is.")
    ] = False,
    ensemble: Annotated[
        list[Path] | None,
        typer.Option(help="Another model/ folder or round-NNNN.safetensors, for uncertainty. Repeatable."),
    ] = None,
    explained: Annotated[
        bool, typer.Option("--page/--no-page", help="Write a page with pictures and what led to them.")
    ] = True,
    arrived: Annotated[
        datetime | None, typer.Option(help="When the scans came. Default: now, where they are new.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Read again what is read already.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Read scans with a trained model: mask on the scan's own grid, findings, priority and its reasons."""
    import torch

    from client.predict.pipeline import Readings
    from client.predict.run import Request
    from client.predict.run import predict as read
    from client.predict.words import as_values, print_predicted
    from client.site import Site
    from client.worklist import Worklist
    from shared.ensemble import members
    from shared.model import TrainedModel

    site = Site.read(site_file)
    trained = TrainedModel.load(model or site.work / "model")
    torch.set_num_threads(site.threads)
    request = Request(
        scans=tuple(scans),
        layout=layout,
        out=out_folder,
        patients=patients,
        history=_history(history, trained) if history else None,
        force=force,
        readings=Readings(tuple(members(trained, ensemble or ())), uncertainty, explained),
    )
    with progress_bars(quiet or as_json) as progress, closing(Worklist.open(site)) as worklist:
        done = read(site, trained, request, progress=progress, done=_onto(worklist, arrived))
    if as_json:
        print_json(as_values(done))
    elif not quiet:
        print_predicted(done, out)
    if not done.read:
        first = done.failed[0]
        raise DataError(
            f"not one of {len(done.failed)} scans could be read; the first: {first.case}: {first.detail}"
        )


def _onto(worklist: "Worklist", arrived: datetime | None) -> "Callable[[Result, Path], None]":
    """Put each result on the worklist as soon as it is there; a time without a zone is this machine's."""
    came = None if arrived is None else arrived.astimezone()

    def put(result: "Result", path: Path) -> None:
        worklist.put(result, path=path, arrived=came)

    return put


def _history(words: "Sequence[str]", model: "TrainedModel") -> dict[str, str]:
    """Read KEY=VALUE as cells of the patients table; ConfigError for what the score does not use."""
    from client.data.history import asked
    from client.data.patients import read_history

    cells = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (equals and key and value):
            raise ConfigError(f"--history {word!r} is not KEY=VALUE, such as age=63.")
        cells[key.strip().lower()] = value.strip()
    numbers, levels = read_history(cells), set[str]()
    known = set[str]()
    for term in asked(model.study):
        known |= {term.feature.lower(), *(["sex"] if term.feature == "sex_male" else [])}
        levels |= {term.feature.lower()} if term.level is not None else set()
    if wrong := [key for key in cells if key not in known]:
        raise ConfigError(f"--history {wrong[0]}: the score uses {', '.join(sorted(known)) or 'no history'}.")
    read = numbers.keys() | levels | ({"sex"} if "sex_male" in numbers else set())
    if unread := [key for key in cells if key not in read]:
        raise ConfigError(f"--history {unread[0]}={cells[unread[0]]}: expected a number, yes or no.")
    return cells
