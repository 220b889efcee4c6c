"""Pages as a process of their own, started and stopped as a person would."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from client.site import Site
from client.web.roles import ROLES
from server.web.roles import ROLES as COORDINATOR_ROLES
from shared.errors import WardroundError
from shared.web.app import people_in

ROOT = Path(__file__).parents[1]
PATIENCE_S = 60.0
"""Importing everything on a busy machine is most of it."""


@dataclass(frozen=True)
class Answering:
    """Pages that answer: `origin` without a slash, `code` for the first account while there is none."""

    origin: str
    code: str | None
    log: Path
    pid: int


@dataclass(frozen=True)
class Served(Answering):
    """A hospital's pages that answer."""

    site_file: Path

    @property
    def site(self) -> Site:
        """The site whose pages these are."""
        return Site.read(self.site_file)


@contextmanager
def served(site_file: Path) -> Iterator[Served]:
    """`wardround site serve SITE --port 0` until the block ends; its stderr stands in `log`."""
    log = site_file.with_name("serve.log")
    with _answering(["site", "serve", str(site_file)], log, _work(site_file)) as it:
        yield Served(it.origin, it.code, it.log, it.pid, site_file)


@contextmanager
def coordinator_served(folder: Path) -> Iterator[Answering]:
    """`wardround coordinator serve --dir FOLDER --port 0` until the block ends; it logs beside FOLDER."""
    log = folder.with_name("serve.log")
    with _answering(["coordinator", "serve", "--dir", str(folder)], log, folder) as it:
        yield it


def add_account(site_file: Path, name: str, password: str, *roles: str) -> None:
    """Make an account at a site, with every role where none is named."""
    with closing(people_in(_work(site_file))) as people:
        people.add(name, password, roles or tuple(ROLES))


def add_keeper(folder: Path, name: str, password: str, *roles: str) -> None:
    """Make an account at a coordinator, with every role where none is named."""
    with closing(people_in(folder)) as people:
        people.add(name, password, roles or tuple(COORDINATOR_ROLES))


@contextmanager
def _answering(command: list[str], log: Path, accounts: Path) -> Iterator[Answering]:
    with log.open("wb") as stderr:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "wardround", *command, "--port", "0"],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        said = _lines(process)
        origin = _found(r"pages: (http://[^\s]+?)/$", said, log)
        code = _found(r"with this code: ([0-9-]{14})$", said, log) if _nobody_yet(accounts) else None
        _wait_for(origin)
        yield Answering(origin, code, log, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)
        if process.stdout is not None:
            process.stdout.close()


def _work(site_file: Path) -> Path:
    return Site.read(site_file).make_work()


def _nobody_yet(accounts: Path) -> bool:
    with closing(people_in(accounts)) as people:
        return people.nobody_yet()


def _lines(process: subprocess.Popen[str]) -> SimpleQueue[str]:
    """Lines that a process prints, as they come."""
    said: SimpleQueue[str] = SimpleQueue()
    stdout = process.stdout

    def read() -> None:
        for line in stdout or ():
            said.put(line.rstrip())

    Thread(target=read, daemon=True).start()
    return said


def _found(pattern: str, said: SimpleQueue[str], log: Path) -> str:
    try:
        line = said.get(timeout=PATIENCE_S)
    except Empty:
        line = ""
    found = re.search(pattern, line)
    if found is None:
        raise WardroundError(
            f"the pages said {line!r}, expected {pattern!r}: {log.read_text(encoding='utf-8')}"
        )
    return found[1]


def _wait_for(origin: str) -> None:
    host, _, port = origin.removeprefix("http://").rpartition(":")
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=PATIENCE_S).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return
