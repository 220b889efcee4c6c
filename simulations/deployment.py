"""The third engine: a coordinator and its hospitals as real processes on this machine, as they are installed.

Everything goes through the command line that people use: init, invite, enrol, run, up, start. Each role has
its own folder, processes and keys; they meet over TLS on loopback.
"""

import contextlib
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from client.membership import Enrolment
from client.site import Site
from server.board import RunStatus
from server.progress import Listener
from server.settings import Coordinator
from server.statistics_file import FILE, PAGE
from server.store import FAILED, FINISHED, STOPPED, RunRow, Store
from shared.errors import FederationError
from shared.ports import free_port

LOOPBACK = "127.0.0.1"
READY_S = 120.0
POLL_S = 0.1
STOP_S = 90.0
PROGRAM = (sys.executable, "-m", "wardround")


@dataclass
class Service:
    """A long-running `wardround` command, with its output in a file."""

    arguments: Sequence[str]
    output: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it in a process group of its own."""
        self.output.parent.mkdir(parents=True, exist_ok=True)
        with self.output.open("ab") as file:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                self.arguments,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        return self

    def wait_for(self, text: str, *, limit_s: float = READY_S) -> None:
        """Wait until it has printed `text`; raise FederationError when it ends before, or takes too long."""
        ends = time.monotonic() + limit_s
        while text not in self.printed():
            if self.process is None or self.process.poll() is not None or time.monotonic() > ends:
                raise FederationError(f"{' '.join(self.arguments[3:])} did not get ready:\n{self.printed()}")
            time.sleep(POLL_S)

    def printed(self) -> str:
        """Everything it has printed so far."""
        return self.output.read_text(encoding="utf-8", errors="replace") if self.output.exists() else ""

    def kill(self) -> None:
        """End it with SIGKILL, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def end(self) -> None:
        """Ask it to end, with SIGTERM."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)

    def wait(self, *, limit_s: float = STOP_S) -> int | None:
        """Wait until it has ended, at most `limit_s` seconds, then kill it; returns its exit code."""
        if self.process is None:
            return None
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.returncode


class Deployment:
    """A coordinator and its sites. As a context it enrols and starts all, and stops all at the end."""

    def __init__(self, folder: Path, sites: Mapping[str, Path], *, program: Sequence[str] = PROGRAM) -> None:
        self.folder = folder
        self.coordinator_folder = folder / "coordinator"
        self._sites = dict(sites)
        self._program = tuple(program)
        self.coordinator = Service(
            [*self._program, "coordinator", "up", "--dir", str(self.coordinator_folder)],
            folder / "coordinator.out",
        )
        self.nodes = {
            name: Service([*self._program, "site", "run", str(file)], folder / f"{name}.out")
            for name, file in self._sites.items()
        }

    def __enter__(self) -> Self:
        """Set everything up; returns when all sites are in touch."""
        try:
            if not self.coordinator_folder.exists():
                self.init()
            self.up()
            self.enrol(self._sites)
            for node in self.nodes.values():
                node.start()
            for node in self.nodes.values():
                node.wait_for("in touch")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Stop all."""
        for services in (self.nodes.values(), (self.coordinator,)):
            for service in services:
                service.end()
            for service in services:
                service.wait()

    @property
    def settings(self) -> Coordinator:
        """The coordinator's configuration."""
        return Coordinator.read(self.coordinator_folder)

    def init(self) -> None:
        """Make the coordinator's folder, on free ports."""
        self.command("coordinator", "init", str(self.coordinator_folder), "--address", LOOPBACK)
        file = self.coordinator_folder / "coordinator.yaml"
        text = file.read_text(encoding="utf-8").replace("bind: 0.0.0.0", f"bind: {LOOPBACK}")
        for default in ("fleet_port: 9092", "control_port: 9093"):
            if default not in text:
                raise FederationError(f"{file} has no line {default!r}")
            text = text.replace(default, f"{default.split(':')[0]}: {free_port()}")
        file.write_text(text, encoding="utf-8")

    def up(self) -> None:
        """Start the coordinator; returns when hospitals can reach it."""
        self.coordinator.output.unlink(missing_ok=True)
        self.coordinator.start().wait_for("up: ")

    def enrol(self, sites: Mapping[str, Path]) -> None:
        """Invite and enrol those that are not enrolled yet."""
        new = {name: file for name, file in sites.items() if Enrolment.load(Site.read(file)) is None}
        if not new:
            return
        invites = self.command("coordinator", "invite", *new, "--dir", str(self.coordinator_folder)).split()
        for file, invite in zip(new.values(), invites, strict=True):
            self.command("site", "enrol", str(file), "--invite", invite)

    def start(self, study: Path, *, weights: Path | None = None, statistics: bool = False) -> str:
        """Start a study; returns the run's name."""
        more = ["--statistics"] if statistics else []
        more += [] if weights is None else ["--weights", str(weights)]
        return self.command(
            "coordinator", "start", str(study), *more, "--dir", str(self.coordinator_folder)
        ).split()[-1]

    def go_on(self) -> str | None:
        """Let the newest run that is not finished go on; returns its name, or None where there is none."""
        store = Store.open(self.settings.database_url)
        try:
            rows = [row for row in store.runs() if row.state != FINISHED]
        finally:
            store.close()
        if not rows:
            return None
        if rows[-1].state in (FAILED, STOPPED):
            self.command(
                "coordinator", "start", "--resume", rows[-1].id, "--dir", str(self.coordinator_folder)
            )
        return rows[-1].id

    def run(self, name: str) -> RunRow:
        """Read what the store says of a run."""
        store = Store.open(self.settings.database_url)
        try:
            return store.run(name)
        finally:
            store.close()

    def wait(
        self, name: str, *, limit_s: float = math.inf, watch: Callable[[], None] = lambda: None
    ) -> RunRow:
        """Wait until a run has ended; raise FederationError when that takes longer than `limit_s` seconds."""
        ends = time.monotonic() + limit_s
        while (row := self.run(name)).state not in (FINISHED, FAILED, STOPPED):
            watch()
            if time.monotonic() > ends:
                raise FederationError(f"{name} is still {row.state} after {limit_s:.0f} s")
            time.sleep(POLL_S)
        return row

    def results(self, name: str) -> Path:
        """Folder of a run: results.json, report.html, model/, status.json."""
        return self.settings.run_folder(name)

    def command(self, *arguments: str) -> str:
        """Run a short command to its end; returns what it printed, or raises FederationError with it."""
        done = subprocess.run(  # noqa: S603 - our own program
            [*self._program, *arguments], capture_output=True, text=True, check=False, timeout=READY_S
        )
        if done.returncode != 0:
            raise FederationError(f"wardround {' '.join(arguments[:2])} failed:\n{done.stdout}{done.stderr}")
        return done.stdout


def deploy(
    site_files: Mapping[str, Path],
    study_file: Path,
    out: Path,
    *,
    start: Path | None,
    resume: bool,
    progress: Listener,
    statistics: bool = False,
) -> None:
    """Run a study through real processes and put its results.json and model/, or statistics, into `out`.

    Raises FederationError with the run's own reason when it fails; `resume` goes on with it.
    """
    with Deployment(out / "deployment", site_files) as deployment:
        run = deployment.go_on() if resume else None
        run = run or deployment.start(study_file, weights=start, statistics=statistics)
        folder = deployment.results(run)

        def watch() -> None:
            board = folder / "status.json"
            if board.exists():
                now = RunStatus.read(board)
                progress("rounds", now.round, now.rounds)

        row = deployment.wait(run, watch=watch)
    if row.state != FINISHED:
        raise FederationError(f"the run is {row.state}: {row.reason}")
    if statistics:
        for name in (FILE, PAGE):
            shutil.copyfile(folder / name, out / name)
        return
    shutil.copyfile(folder / "results.json", out / "results.json")
    shutil.copytree(folder / "model", out / "model", dirs_exist_ok=True)
