"""What the coordinator's short commands do: they make the folder, and read and write the store."""

import os
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from server.authority import create_authority, fingerprint, renew
from server.job import START, STATISTICS
from server.settings import FILE, TEMPLATE, Coordinator
from server.store import OPEN, RunRow, Store
from shared.errors import ConfigError, FederationError
from shared.files import write_atomically
from shared.invite import Invite, new_code
from shared.study import Name, Study

FOLDER_VARIABLE = "WARDROUND_COORDINATOR"
EXPORTED = ("results.json", "report.html", "model", "statistics.json", "statistics.html")
WHOLE = ("model", "statistics.json")
"""One of them is there when a run has come far enough: of a training run, of one for statistics."""


def find(given: Path | None) -> Coordinator:
    """Read the coordinator's folder: `given`, else $WARDROUND_COORDINATOR, this folder, ./coordinator."""
    named = os.environ.get(FOLDER_VARIABLE)
    if given is not None:
        return Coordinator.read(given)
    if named:
        return Coordinator.read(Path(named))
    return Coordinator.read(Path() if Path(FILE).exists() else Path("coordinator"))


@contextmanager
def opened(given: Path | None) -> Iterator[tuple[Coordinator, Store]]:
    """Find the folder and open its store."""
    settings = find(given)
    store = Store.open(settings.database_url)
    try:
        yield settings, store
    finally:
        store.close()


def initialise(folder: Path, *, address: str | None, name: str | None) -> Coordinator:
    """Make a coordinator's folder: configuration, authority, certificate, secrets, store.

    Raises ConfigError, and leaves nothing behind, when the folder is not empty or a value cannot be used.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not an empty folder. Name a new one.")
    values = {"name": name or "coordinator", "address": address or socket.getfqdn()}
    Coordinator.parse(values, "the command line")
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with write_atomically(folder / FILE, private=True) as path:
            path.write_text(TEMPLATE.format(**values), encoding="utf-8")
        settings = Coordinator.read(folder)
        create_authority(settings)
        Store.open(settings.database_url).close()
    except BaseException:
        for part in folder.iterdir() if existed else ():
            shutil.rmtree(part) if part.is_dir() else part.unlink()
        if not existed:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return settings


def invite(given: Path | None, sites: Sequence[str], *, replace: bool) -> list[str]:
    """Make one invite for each site, as the lines to hand over."""
    for site in sites:
        _require_name(site)
    if len(set(sites)) != len(sites):
        raise ConfigError(f"each site may be named once, found {list(sites)}.")
    with opened(given) as (settings, store):
        return [str(invite_one(settings, store, site, replace=replace)) for site in sites]


def invite_one(settings: Coordinator, store: Store, site: str, *, replace: bool) -> Invite:
    """Make one invite; ConfigError for what cannot be a site's name, or where it is enrolled already."""
    _require_name(site)
    code = new_code()
    expires = datetime.now(UTC) + timedelta(days=settings.invite_days)
    store.invite(site, code=code, expires=expires, replace=replace)
    return Invite(
        site=site,
        control=settings.control,
        fleet=settings.fleet,
        ca_sha256=fingerprint(settings.ca_pem),
        code=code,
        expires=expires,
    )


def _require_name(site: str) -> None:
    try:
        TypeAdapter(Name).validate_python(site)
    except ValidationError as error:
        raise ConfigError(
            f"{site!r} cannot be the name of a site: expected lower-case letters, digits, - and _."
        ) from error


def renew_certificate(given: Path | None) -> Coordinator:
    """Issue a new server certificate; a coordinator that is up shows it to every new connection."""
    settings = find(given)
    renew(settings)
    return settings


@dataclass(frozen=True)
class Started:
    """A run that was asked for, and how many sites could take part."""

    run: str
    study: str
    enrolled: int
    quorum: int


def start(
    given: Path | None,
    study_file: Path | None,
    *,
    resume: str | None,
    weights: Path | None = None,
    statistics: bool = False,
) -> Started:
    """Ask for a new run of a study, or for a failed or stopped one to go on from its newest checkpoint.

    `weights` is what a study with ``start: phantoms`` starts from. Raises ConfigError when it is missing.
    A run for `statistics` trains nothing and needs none.
    """
    if (study_file is None) == (resume is None):
        raise ConfigError("give either STUDY.yaml for a new run or --resume RUN for an earlier one.")
    if statistics and (resume is not None or weights is not None):
        raise ConfigError("--statistics asks anew and trains nothing: leave out --resume and --weights.")
    with opened(given) as (settings, store):
        if resume is not None:
            return start_again(store, resume)
        study = Study.load(study_file or Path())
        return start_new(settings, store, study, weights=weights, statistics=statistics)


def start_new(
    settings: Coordinator, store: Store, study: Study, *, weights: Path | None, statistics: bool
) -> Started:
    """Ask for a new run of a study; ConfigError where weights are missing or not wanted."""
    run = store.start(
        study_name=study.name,
        study_digest=study.digest(),
        study_yaml=study.to_yaml(),
        prepare=_ask_only(settings) if statistics else _start_from(study, weights, settings),
    )
    return _started(store, run, study)


def start_again(store: Store, run: str) -> Started:
    """Let a failed or stopped run go on from its newest checkpoint."""
    row = store.run(run)
    study = Study.parse(yaml.safe_load(row.study_yaml), run)
    store.resume(row.id)
    return _started(store, row.id, study)


def _started(store: Store, run: str, study: Study) -> Started:
    enrolled = sum(site.revoked_at is None for site in store.sites())
    return Started(run, study.name, enrolled, study.strategy.quorum)


def _start_from(study: Study, weights: Path | None, settings: Coordinator) -> Callable[[str], None]:
    if (weights is None) != (study.start == "random"):
        raise ConfigError(
            f"{study.name} starts from {study.start}: "
            + ("it takes no --weights." if weights is not None else "give --weights FILE.safetensors. ")
            + ("" if weights is not None else "`wardround simulate` with this study writes it to OUT/start/.")
        )

    def copy(run: str) -> None:
        if weights is not None:
            with write_atomically(settings.run_folder(run) / START) as path:
                shutil.copyfile(weights, path)

    return copy


def _ask_only(settings: Coordinator) -> Callable[[str], None]:
    def mark(run: str) -> None:
        with write_atomically(settings.run_folder(run) / STATISTICS) as path:
            path.touch()

    return mark


def export(given: Path | None, run: str, target: Path) -> Path:
    """Copy what a run found (`EXPORTED`) to `target`; ConfigError while it is not over."""
    with opened(given) as (settings, store):
        present = exported(settings, store.run(run))
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"{target} is not an empty folder. Name a new one.")
    target.mkdir(parents=True, exist_ok=True)
    for part in present:
        if part.is_dir():
            shutil.copytree(part, target / part.name)
        else:
            shutil.copy2(part, target / part.name)
    return target


def exported(settings: Coordinator, row: RunRow) -> list[Path]:
    """Return files and folders of `EXPORTED` that a run left; ConfigError while it is not over."""
    run, folder = row.id, settings.run_folder(row.id)
    if row.state in OPEN:
        raise ConfigError(
            f"{run} is {row.state}. Wait until it is over: wardround coordinator status {run} --watch"
        )
    if not any((folder / part).exists() for part in WHOLE):
        raise FederationError(
            f"{run} is {row.state} and left no model{f' ({row.reason})' if row.reason else ''}. "
            f"Go on with it: wardround coordinator start --resume {run}"
        )
    return [folder / part for part in EXPORTED if (folder / part).exists()]


def stop(given: Path | None, run: str) -> str:
    """Ask for a run to be stopped; return its new state."""
    with opened(given) as (_, store):
        return store.stop(run)


def revoke(given: Path | None, site: str) -> None:
    """End a site's membership."""
    with opened(given) as (_, store):
        store.revoke(site)


def runs(given: Path | None) -> Sequence[RunRow]:
    """Return all runs, the oldest first."""
    with opened(given) as (_, store):
        return store.runs()
