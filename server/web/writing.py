"""Writing a study: check it, keep it, start it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException
from starlette.responses import Response

from server.commands import start_new
from server.web.asking import ask
from server.web.drafts import Drafts, check
from server.web.meaning import meaning
from server.web.office import Here, Keeper, Office
from server.web.runs import said_of
from shared.errors import ConfigError
from shared.web.visit import Visit

router = APIRouter()

STARTER = Path(__file__).with_name("templates") / "study.yaml"
START_FOLDER = "start"
"""In the coordinator's folder: *.safetensors that a study with `start: phantoms` may start from."""

Text = Annotated[str, Form()]


@dataclass(frozen=True)
class Writing:
    """What stands in the form."""

    text: str
    name: str = ""


@router.get("/studies/write")
def write(visit: Keeper, here: Here, draft: str = "", run: str = "") -> Response:
    """Show the form: a draft, the study of a run, or a short study to begin with."""
    if draft:
        text = Drafts(here.settings).read(draft)
        if text is None:
            raise HTTPException(404)
        return _form(visit, here, Writing(text, draft))
    if run:
        return _form(visit, here, Writing(here.run(run).study_yaml))
    return _form(visit, here, Writing(STARTER.read_text(encoding="utf-8")))


@router.post("/studies/write")
def check_it(visit: Keeper, here: Here, text: Text, name: Text = "") -> Response:
    """Say what is wrong, or what it means."""
    return _form(visit, here, Writing(text, name), checked=True)


@router.post("/studies/keep")
def keep(visit: Keeper, here: Here, text: Text, name: Text = "") -> Response:
    """Keep it as a draft, faults and all, under the name given or else its own."""
    found = check(text).study
    called = name.strip() or (found.name if found else "")
    if not called:
        return _form(visit, here, Writing(text, name), wrong="Give the draft a name to keep it.", status=422)
    try:
        Drafts(here.settings).write(called, text)
    except ConfigError as error:
        return _form(visit, here, Writing(text, name), wrong=str(error), status=422)
    return visit.go(f"/studies/write?draft={called}", said=f"The draft {called} is kept.")


@router.post("/studies/start")
def start(
    visit: Keeper,
    here: Here,
    text: Text,
    *,
    name: Text = "",
    weights: Text = "",
    kind: Text = "training",
) -> Response:
    """Ask for a run: of training, or for statistics only."""
    study = check(text).study
    if study is None:
        return _form(visit, here, Writing(text, name), checked=True, status=422)
    statistics = kind == "statistics"
    chosen = _starts(here).get(weights) if study.start != "random" and not statistics else None
    try:
        asked = start_new(here.settings, here.store, study, weights=chosen, statistics=statistics)
    except ConfigError as error:
        return _form(visit, here, Writing(text, name), wrong=_without_commands(error), status=422)
    here.forget()
    return visit.go(f"/runs/{asked.run}", said=said_of(asked.run, asked.enrolled, asked.quorum))


@router.get("/studies/drop")
def ask_drop(visit: Keeper, here: Here, draft: str) -> Response:
    """Ask whether it is meant."""
    if Drafts(here.settings).read(draft) is None:
        raise HTTPException(404)
    return ask(
        visit,
        f"Delete the draft {draft}?",
        "Runs that were started from it keep their study.",
        button="Delete it",
        back="/studies",
        draft=draft,
    )


@router.post("/studies/drop")
def drop(visit: Keeper, here: Here, draft: Text) -> Response:
    """Delete a draft."""
    Drafts(here.settings).drop(draft)
    return visit.go("/studies", said=f"The draft {draft} is deleted.")


def _form(
    visit: Visit,
    here: Office,
    writing: Writing,
    *,
    checked: bool = False,
    wrong: str | None = None,
    status: int = 200,
) -> Response:
    found = check(writing.text)
    return visit.page(
        "write.html",
        status=status,
        writing=writing,
        checked=checked,
        wrong=wrong,
        faults=found.faults,
        study=found.study,
        meaning=[] if found.study is None else meaning(found.study, here.store.sites()),
        starts=list(_starts(here)),
    )


def _starts(here: Office) -> Mapping[str, Path]:
    """Weights to start from: files of the folder start/, and models of runs that are over."""
    files = sorted((here.settings.folder / START_FOLDER).glob("*.safetensors"))
    models = {row.id: here.folder(row.id) / "model" / "model.safetensors" for row in here.store.runs()}
    named = {f"{START_FOLDER}/{path.name}": path for path in files}
    return {**named, **{f"model of {run}": path for run, path in models.items() if path.exists()}}


def _without_commands(error: ConfigError) -> str:
    """Say it for somebody who sees a page, not a terminal."""
    return str(error).replace("give --weights FILE.safetensors", "choose weights to start from")
