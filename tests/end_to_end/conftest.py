"""Whole runs: `command` as a user starts it, `forked` the same without paying for the imports each time."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pytest

from server.results import Results
from tests.end_to_end.deployments import deploy, phantoms  # noqa: F401 - fixtures for every test here

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny.yaml")


@dataclass(frozen=True)
class Ended:
    """How a process ended: negative codes are signals."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class FinishedRun:
    """A run of the tiny scenario, and what it printed."""

    out: Path
    ended: Ended

    @property
    def results(self) -> Results:
        return Results.read(self.out / "results.json")


def command(*arguments: str | Path, timeout_s: float = 300) -> Ended:
    """`wardround ARGUMENTS` in a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-m", "wardround", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


Forked = Callable[..., Ended]


@pytest.fixture(scope="session")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Forked:
    """`wardround ARGUMENTS` in a fork of a process that has imported everything; dies at `phase` if given."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.end_to_end.killed_run"])

    def run(*arguments: str | Path, phase: str | None = None) -> Ended:
        folder = tmp_path_factory.mktemp("forked")
        process = context.Process(target=_in_child, args=(phase, [str(a) for a in arguments], folder))
        process.start()
        process.join(300)
        assert process.exitcode is not None
        return Ended(process.exitcode, (folder / "stdout").read_text(), (folder / "stderr").read_text())

    return run


def _in_child(phase: str | None, arguments: list[str], folder: Path) -> None:
    from tests.end_to_end import killed_run  # noqa: PLC0415 - imported in the fork server, not in pytest

    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_CREAT | os.O_WRONLY), number)
    killed_run.main(phase, arguments)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """The tiny scenario, run once as a user would; do not write into it."""
    out = tmp_path_factory.mktemp("finished") / "run"
    ended = command("simulate", TINY, "--out", out)
    assert ended.code == 0, ended.stderr
    return FinishedRun(out, ended)


@pytest.fixture
def prepared(finished: FinishedRun, tmp_path: Path) -> Path:
    """A folder for a run whose phantoms and caches are there already, which saves most of its time."""
    out = tmp_path / "run"
    out.mkdir()
    (out / "scenario.yaml").write_bytes((finished.out / "scenario.yaml").read_bytes())
    (out / "data").symlink_to(finished.out / "data")
    for site in (finished.out / "sites").iterdir():
        (out / "sites" / site.name).mkdir(parents=True)
        (out / "sites" / site.name / "cache").symlink_to(site / "cache")
    return out
