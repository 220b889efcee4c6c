"""Scans and their history from a browser to the worklist.

The pages only take files in and show where they stand: client/uploads/worker.py checks and reads them.
"""

import re
import shutil
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, Response

from client.site import Site
from client.upload_settings import GB
from client.uploads.history import MANY, ONE, OTHER, Question, cells_of, judge_table, questions, write_one
from client.uploads.paths import decoded, shown
from client.uploads.receiving import folder_of
from client.uploads.records import Found, Upload
from client.uploads.room import TooLargeError
from client.uploads.words import cure_of
from client.web.hospital import Engineer, Here, Hospital, QuietReader, Reader, hospital_of
from client.worklist import ModelInUse
from shared.errors import ConfigError, DataError, WardroundError
from shared.files import private_folder
from shared.study import Study
from shared.web.bodies import PIECE_BYTES, length_of, pour
from shared.web.downloads import saved_as
from shared.web.visit import Visit, needs

router = APIRouter()

FORM_BYTES = 2**24  # of history: a table of a hundred thousand patients
SHOWN_SCANS = 12  # of each upload on the list; its own page has all
FIELD = "history."
OnePiece = Annotated[Visit, Depends(needs("reader", "engineer", audited=False))]
"""One file of an upload, which `finish` writes down: a DICOM folder has hundreds, and its page lists them."""


def at_most(limit: Callable[[Site], float]) -> Callable[[Request], None]:
    """Return a dependency that refuses a larger body before a byte of it is read; it must come first."""

    def check(request: Request) -> None:
        allowed = limit(hospital_of(request).site)
        if (size := length_of(request)) is None or size > allowed:
            found = "no length" if size is None else f"{size} bytes"
            raise HTTPException(
                411 if size is None else 413, f"The form has {found}, expected at most {allowed:.0f} bytes."
            )

    return check


async def _form(request: Request) -> AsyncIterator[FormData]:
    async with request.form() as form:
        yield form


Form = Annotated[FormData, Depends(_form)]
SMALL = [Depends(at_most(lambda _: FORM_BYTES))]
WHOLE = [Depends(at_most(lambda site: site.uploads.file_gb * GB + FORM_BYTES))]


@router.get("/upload")
def upload_page(visit: Reader, here: Here) -> Response:
    """Show where scans are put in, and what became of the last ones."""
    why = None
    asked_for: list[Question] = []
    try:
        asked_for = _questions(here)
    except ConfigError as error:
        why = str(error)
    return visit.page(
        "upload.html",
        why=why,
        questions=asked_for,
        other=OTHER,
        limits=here.site.uploads,
        gb=GB,
        **_recent(visit, here),
    )


@router.get("/upload/recent")
def recent(visit: QuietReader, here: Here) -> Response:
    """Show what became of the last uploads; asked for again and again by the page."""
    return visit.page("upload_list.html", **_recent(visit, here))


@router.get("/upload/history.csv")
def history_form(_: Reader, here: Here) -> Response:
    """Give an empty table with the columns that the model asks for."""
    columns = ["case", "patient", *(question.column for question in _questions(here))]
    text = ",".join(columns) + "\n"
    return Response(text, media_type="text/csv; charset=utf-8", headers=saved_as("history.csv"))


@router.get("/upload/{upload}")
def one_upload(upload: str, visit: Reader, here: Here) -> Response:
    """Show every file of one upload."""
    return visit.page(
        "upload_one.html", uploads=[_seen(upload, visit, here)], shown_scans=None, **_words(here)
    )


@router.post("/upload/new")
def begin(visit: Reader, here: Here) -> Response:
    """Begin an upload; answers with its name."""
    _study(here)
    return JSONResponse({"upload": here.jobs.begin(visit.account.name)}, status_code=201)


@router.post("/upload/file")
async def receive(request: Request, visit: OnePiece, here: Here) -> Response:
    """Take one file in, straight to disk; async because the body comes in pieces.

    Headers: X-Upload (of `begin`), X-Path (relative, percent-encoded UTF-8), Content-Length.
    """
    upload = request.headers.get("x-upload", "")
    header = request.headers.get("x-path", "")
    await run_in_threadpool(_own, upload, visit, here)
    if (size := length_of(request)) is None:
        return PlainTextResponse("Say how long the file is.\n", status_code=411)
    try:
        with here.receiver.file(upload, decoded(header), size) as target:
            await pour(request, target)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody listens; what had come is gone
    except (DataError, OSError) as error:
        large = isinstance(error, TooLargeError)
        text = str(error) if isinstance(error, DataError) else f"it cannot be written: {error.strerror}."
        found = Found(
            _named(header),
            None,
            reason="too_much" if large else "not_taken",
            detail=f"{_named(header)}: {text}",
        )
        await run_in_threadpool(here.jobs.refuse, upload, found)
        return PlainTextResponse(text, status_code=413 if large else 409)
    return Response(status_code=204)


@router.post("/upload/{upload}/finish", dependencies=SMALL)
def finish(upload: str, visit: Reader, here: Here, form: Form) -> Response:
    """Hand an upload that is complete to the worker, with the history that the form has."""
    _own(upload, visit, here)
    _hand_over(upload, here, form)
    if visit.is_fragment:
        return Response(status_code=204)
    return visit.go("/upload", said="The upload is checked now, then read.")


@router.post("/upload/whole", dependencies=WHOLE)
def whole(visit: Reader, here: Here, form: Form) -> Response:
    """Take files and history in one form, from a browser without scripts."""
    _study(here)
    upload = here.jobs.begin(visit.account.name)
    try:
        for sent in form.getlist("files"):
            if isinstance(sent, UploadFile) and sent.filename:
                with here.receiver.file(upload, sent.filename, sent.size or 0) as target:
                    shutil.copyfileobj(sent.file, target, PIECE_BYTES)
        _hand_over(upload, here, form)
    except WardroundError:
        _drop(upload, here)
        raise
    return visit.go("/upload", said="The upload is checked now, then read.")


@router.post("/upload/{upload}/discard", dependencies=SMALL)
def discard(upload: str, visit: Reader, here: Here) -> Response:
    """Forget an upload that was not finished."""
    _own(upload, visit, here)
    _drop(upload, here)
    if visit.is_fragment:
        return Response(status_code=204)
    return visit.go("/upload", said="The unfinished upload and its files are gone.")


@router.post("/upload/{upload}/remove", dependencies=SMALL)
def remove(upload: str, visit: Engineer, here: Here) -> Response:
    """Delete the files of an upload that was read; its results stay."""
    _seen(upload, visit, here)
    here.jobs.note_removed(upload)
    here.receiver.forget(upload)
    return visit.go("/upload", said="The files are deleted; the results stay.")


def _hand_over(upload: str, here: Hospital, form: FormData) -> None:
    """Keep the history, close the upload, and queue it; DataError or ConfigError leaves it open."""
    study = _study(here)
    folder = private_folder(folder_of(here.site, upload))
    fields = {key: value for key, value in form.items() if isinstance(value, str)}
    answers = {key.removeprefix(FIELD): value for key, value in fields.items() if key.startswith(FIELD)}
    cells = cells_of(questions(study), answers)
    patient = fields.get("patient", "").strip()
    table = form.get("table")
    notes: list[str] = []
    for name in (ONE, MANY):  # of an earlier try
        (folder / name).unlink(missing_ok=True)
    if isinstance(table, UploadFile) and table.filename:
        if cells or patient:
            raise ConfigError(
                "history came twice, in the fields and as a table. Empty the fields, or choose no table."
            )
        path = folder / MANY
        path.touch(mode=0o600)
        path.write_bytes(table.file.read())
        notes = judge_table(path, study)
    elif cells or patient:
        write_one(folder, patient, cells)
    here.receiver.close(upload)
    here.jobs.finish(upload, notes)


def _study(here: Hospital) -> Study:
    """Return the study of the site's model; ConfigError where there is no model yet."""
    folder = here.site.work / "model"
    if not (folder / "study.yaml").exists() or not (folder / "model.safetensors").exists():
        raise ConfigError(
            "there is no model here yet, so no scan can be read. A run that this site takes part in leaves "
            "one; an engineer can also copy the model/ folder of a finished run into the site's work folder."
        )
    return Study.load(folder / "study.yaml")


def _questions(here: Hospital) -> list[Question]:
    """Return what the model asks of a patient; nothing where it has no calibration and so no score."""
    study = _study(here)
    model = ModelInUse.read(here.site.work / "model")
    return [] if model is None or model.priority is None else questions(study)


def _recent(visit: Visit, here: Hospital) -> dict[str, Any]:
    owner = None if visit.has("engineer") else visit.account.name
    return {"uploads": here.jobs.recent(owner), "shown_scans": SHOWN_SCANS, **_words(here)}


def _words(here: Hospital) -> dict[str, Any]:
    def detail_of(upload: Upload, text: str) -> str:
        """Leave out where on this machine an upload lies."""
        return re.sub(
            rf"{re.escape(str(folder_of(here.site, upload.id)))}/(scans/\d+/((files|dicom)/)?|incoming/)?",
            "",
            text,
        )

    return {"name_of": here.scan_name, "cure_of": cure_of, "detail_of": detail_of}


def _seen(upload: str, visit: Visit, here: Hospital) -> Upload:
    """Return an upload that this person may see; 404 for any other."""
    found = here.jobs.find(upload)
    if found is None or not (visit.has("engineer") or found.owner == visit.account.name):
        raise HTTPException(404)
    return found


def _own(upload: str, visit: Visit, here: Hospital) -> None:
    """Raise 404 unless it is this person's upload."""
    found = here.jobs.find(upload)
    if found is None or found.owner != visit.account.name:
        raise HTTPException(404)


def _drop(upload: str, here: Hospital) -> None:
    here.jobs.discard(upload)
    here.receiver.forget(upload)


def _named(header: str) -> str:
    """Name of a file from its header, as far as it can be told."""
    try:
        return shown(decoded(header))
    except DataError:
        return shown(header)
