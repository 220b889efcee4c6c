"""All named scans, one after the other: what is read already is kept, what cannot be read is told by name."""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from client.data.history import history_of
from client.data.layouts.base import Listed, Skipped
from client.data.patients import Patients, PatientTable
from client.predict.names import FOLDER, pseudonyms_of
from client.predict.pipeline import RESULT, Asked, Reader, Readings
from client.predict.scans import list_scans
from client.result import Result
from client.site import Site
from shared.errors import ConfigError, DataError
from shared.files import folder_atomically, one_at_a_time, private_folder
from shared.model import TrainedModel

LOCK = ".predict.lock"
LEFTOVER = re.compile(r"\.case-[0-9a-f]{16}\.[0-9a-f]{8}\.tmp")
Progress = Callable[[str, int, int], None]
Done = Callable[[Result, Path], object]


@dataclass(frozen=True)
class Request:
    """What was asked for.

    `out` None: `predictions/` of the site's work folder. `patients` None: the site's own table. `history`
    has cells by column, stands in place of the table's row and is for one scan only. `force` reads again what
    is read already. `cases` leaves out of a folder all others; one that is not there is named.
    """

    scans: tuple[Path, ...]
    layout: str | None = None
    out: Path | None = None
    patients: Path | None = None
    history: Mapping[str, str] | None = None
    force: bool = False
    cases: frozenset[str] | None = None
    readings: Readings = field(default_factory=Readings)


@dataclass(frozen=True)
class Read:
    """One scan with a result; `new` if it was read now."""

    folder: Path
    result: Result
    new: bool


@dataclass(frozen=True)
class Predicted:
    """What a run has: results in the order of the scans, and what could not be read."""

    out: Path
    read: tuple[Read, ...]
    failed: tuple[Skipped, ...]


def predict(
    site: Site,
    model: TrainedModel,
    request: Request,
    *,
    progress: Progress | None = None,
    done: Done | None = None,
) -> Predicted:
    """Read every scan that `request` names; `done` is called with each result, new or kept,
    and with the path of its JSON.

    Each scan's files appear whole or not at all, in a folder that is called by the keyed pseudonym of its
    case; memory holds one scan at a time.

    Raises
    ------
    ConfigError
        `history` with more than one scan, or without a calibration; a calibration that is not for this site.
    DataError
        No scan, a folder with two layouts, a faulty patients table, a full disk, or another run in `out`.
    """
    listed, failed = list_scans(request.scans, request.layout)
    if request.cases is not None:
        listed, failed = _only(request.cases, listed, failed)
    if not listed and not failed:
        named = ", ".join(map(str, request.scans))
        raise DataError(f"{named}: no scan found. Name a scan, or a folder that holds scans.")
    read = predict_listed(site, model, request, listed, progress=progress, done=done)
    return Predicted(read.out, read.read, (*failed, *read.failed))


def predict_listed(
    site: Site,
    model: TrainedModel,
    request: Request,
    listed: Sequence[Listed],
    *,
    progress: Progress | None = None,
    done: Done | None = None,
) -> Predicted:
    """Read scans that were listed before, as `predict` does; what `request.scans` names is not looked at."""
    failed: list[Skipped] = []
    asked = _asked(site, model, request, listed)
    reader = Reader(model, site, request.readings)
    out = request.out or site.make_work() / FOLDER
    try:
        private_folder(out) if request.out is None else out.mkdir(parents=True, exist_ok=True, mode=0o700)
        busy = f"another run is at work in {out}. Wait until it has ended, or give another --out."
        with one_at_a_time(out / LOCK, busy):
            _sweep(out)
            names = pseudonyms_of(site)
            folders = [out / names.of("case", one.item.case, _place(one.item)) for one in asked]
            names.write_table()  # first: no pseudonym that nobody can resolve
            read = []
            for number, (one, folder) in enumerate(zip(asked, folders, strict=True), start=1):
                found = _one(reader, one, folder, force=request.force)
                if isinstance(found, Skipped):
                    failed.append(found)
                else:
                    read.append(found)
                    if done is not None:
                        done(found.result, found.folder / RESULT)
                if progress is not None:
                    progress("reading scans", number, len(asked))
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error}. Make room, then run the same again.") from error
    return Predicted(out, tuple(read), tuple(failed))


def _only(
    cases: frozenset[str], listed: Sequence[Listed], failed: Sequence[Skipped]
) -> tuple[list[Listed], list[Skipped]]:
    """Keep what was asked for, and name what is not there."""
    kept = [item for item in listed if item.case in cases]
    refused = [skip for skip in failed if skip.case in cases]
    missing = cases - {item.case for item in kept} - {skip.case for skip in refused}
    gone = [
        Skipped(case, "no_such_case", f"{case} is not in the folder any more.") for case in sorted(missing)
    ]
    return kept, [*refused, *gone]


def _one(reader: Reader, asked: Asked, folder: Path, *, force: bool) -> Read | Skipped:
    """Read one scan, or keep what an earlier run made of the same; whatever is wrong with it ends nothing."""
    try:
        source = reader.source(asked)
        wanted = reader.source_digest(asked, source)
        if not force and (known := _known(folder, wanted)) is not None:
            return Read(folder, known, new=False)
        with folder_atomically(folder) as draft:
            return Read(folder, reader.read(asked, draft, source), new=True)
    except OSError:
        raise  # of writing: what goes wrong in reading is a CaseError
    except Exception as error:
        return Skipped.after(error, asked.item.case)


def _known(folder: Path, wanted: str) -> Result | None:
    """Return the result that is there, if it was made of the same and its files are all still there."""
    try:
        result = Result.read(folder / RESULT)
    except ConfigError:
        return None
    whole = all((folder / name).is_file() for name in result.files.values())
    return result if whole and result.source_digest == wanted else None


def _asked(site: Site, model: TrainedModel, request: Request, listed: Sequence[Listed]) -> list[Asked]:
    """Add to each scan whose it is and the history that its row has."""
    if request.history is not None:
        if len(listed) != 1:
            raise ConfigError(
                f"--history is for one scan, found {len(listed)}. Give a table with --patients."
            )
        if model.priority is None:
            raise ConfigError("--history changes nothing: the model has no calibration.")
    table = PatientTable.load(request.patients or site.patients)
    patients = Patients(table, listed)
    asked = []
    for item in listed:
        known = table if request.history is None else PatientTable.of_one(item.case, request.history)
        history = history_of(item.case, known, model.study)
        asked.append(Asked(item, patients.patient_of(item.case), history))
    return asked


def _place(item: Listed) -> str:
    return str(next(iter(item.images.values())).absolute())


def _sweep(out: Path) -> None:
    """Remove what a run that was killed had half written."""
    for path in out.iterdir():
        if LEFTOVER.fullmatch(path.name):
            shutil.rmtree(path)
