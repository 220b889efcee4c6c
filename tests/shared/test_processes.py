"""Processes that are kept running, forks that start warm, and that none is left behind."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from shared import processes
from shared.processes import FLOWER_ENVIRONMENT, LONGEST_PAUSE_S, Command, rotating_log

ROOT = Path(__file__).parents[2]
SUPERVISOR = "tests.shared.supervisor_of_some"


def until(holds: Callable[[], object], what: str, *, within_s: float = 20.0) -> None:
    ends = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends, f"{what}: not within {within_s} s"
        time.sleep(0.01)


def ended(pid: int) -> bool:
    """Whether a process is gone; one that only nobody has asked about counts as gone."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@dataclass
class Clock:
    """A clock that a test moves."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(processes, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
def log(tmp_path: Path) -> Iterator[logging.Handler]:
    handler = rotating_log(tmp_path / "logs" / "some.log", days=3)
    yield handler
    handler.close()


@dataclass
class Kept:
    """Commands made in a test, ended with it."""

    log: logging.Handler
    made: list[Command] = field(default_factory=list)

    def __call__(self, code: str, **more: Any) -> Command:
        self.made.append(Command([sys.executable, "-c", code], self.log, **more))
        return self.made[-1]


@pytest.fixture
def python(log: logging.Handler) -> Iterator[Kept]:
    kept = Kept(log)
    yield kept
    for command in kept.made:
        command.stop(grace_s=0.0)


def lines(log: logging.Handler) -> list[str]:
    assert isinstance(log, logging.FileHandler)
    return Path(log.baseFilename).read_text().splitlines()


# Kept running


def test_a_crash_is_told_once_and_followed_by_a_pause_that_doubles_up_to_a_minute(
    python: Kept, clock: Clock
) -> None:
    command = python("raise SystemExit(3)")
    assert command.keep() is None  # the first start waits for nothing
    for pause_s in (1, 2, 4, 8, 16, 32, LONGEST_PAUSE_S, LONGEST_PAUSE_S):
        until(lambda: not command.running, "the crash")
        assert command.keep() == 3
        for waited in (0.0, pause_s - 0.01):
            clock.now += waited
            assert command.keep() is None
            assert command._process is None, pause_s
        clock.now += 0.02
        assert command.keep() is None
        assert command._process is not None, pause_s


def test_a_long_life_makes_the_next_pause_short_again(python: Kept, clock: Clock) -> None:
    command = python("import sys; sys.stdin.read()")
    for lived_s, pause_s in ((0.0, 1), (0.0, 2), (LONGEST_PAUSE_S - 1, 4), (LONGEST_PAUSE_S + 1, 1), (0, 2)):
        command.keep()
        assert command.running
        assert command._process is not None
        clock.now += lived_s
        command._process.kill()
        command._process.wait()
        assert command.keep() == -signal.SIGKILL
        clock.now += pause_s - 0.01
        command.keep()
        assert not command.running, lived_s
        clock.now += 0.02


def test_one_that_runs_is_left_alone(python: Kept) -> None:
    command = python("import sys; sys.stdin.read()")
    command.keep()
    process = command._process
    assert command.keep() is None
    assert command._process is process
    assert command.running


def test_stop_lets_a_process_end_in_its_own_way(python: Kept, log: logging.Handler) -> None:
    heard: list[str] = []

    def listen(line: str) -> None:
        time.sleep(0.1)  # a listener slower than the end of the process
        heard.append(line)

    code = "import signal, sys, time\n"
    code += "def bye(*_):\n    print('bye')\n    sys.exit()\n"
    code += "signal.signal(signal.SIGTERM, bye)\nprint('ready')\ntime.sleep(600)"
    command = python(code, heard=listen)
    command.keep()
    until(lambda: heard, "the first line")
    command.stop()
    assert not command.running
    assert heard == ["ready", "bye"]  # the last words too, by the time that stop returns
    command.stop()  # a second time does no harm


def test_stop_ends_a_process_that_ignores_being_asked(python: Kept) -> None:
    heard: list[str] = []
    code = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    command = python(code + "print('ready')\ntime.sleep(600)", heard=heard.append)
    command.keep()
    until(lambda: heard, "the first line")
    assert command._process is not None
    pid = command._process.pid
    command.stop(grace_s=0.2)
    assert ended(pid)
    assert not command.running


def test_no_handle_stays_open_after_many_restarts(python: Kept, clock: Clock) -> None:
    command = python("pass")
    this = psutil.Process()
    command.keep()
    before = this.num_fds()
    for _ in range(5):
        until(lambda: not command.running, "the end")
        command.keep()
        clock.now += 2 * LONGEST_PAUSE_S
        command.keep()
    assert this.num_fds() <= before


def test_it_learns_its_own_environment_and_that_nobody_is_told_anything(python: Kept) -> None:
    heard: list[str] = []
    code = "import os; print(dict(os.environ))"
    command = python(code, heard=heard.append, environment={"FLWR_HOME": "/somewhere"})
    command.keep()
    until(lambda: not command.running, "the end")
    command.keep()
    (found,) = heard
    assert "'FLWR_HOME': '/somewhere'" in found
    assert "'FLWR_TELEMETRY_ENABLED': '0'" in found
    assert "'FLWR_DISABLE_UPDATE_CHECK': '1'" in found
    assert all(f"'{name}': '{value}'" in found for name, value in FLOWER_ENVIRONMENT.items())


# Logs


def test_each_line_is_logged_without_colours_and_without_the_routine(
    python: Kept, log: logging.Handler
) -> None:
    heard: list[str] = []
    printed = [
        "\x1b[32mINFO \x1b[0m:      started \x1b[1;31m100 % of it\x1b[0m",
        '2026 INFO [uvicorn.access] 127.0.0.1:1 - "POST /v1/fleet/pull-messages HTTP/1.1" 200',
        '2026 INFO [uvicorn.access] 127.0.0.1:1 - "POST /v1/fleet/pull-messages HTTP/1.1" 401',
        "",
        "counted to 200",
        "no end of line, and bytes that are no text: \udcff",
    ]
    code = f"import os, sys; os.write(2, {printed[0]!r}.encode() + b'\\n');"
    rest = "\n".join(printed[1:]).encode(errors="surrogateescape")
    command = python(code + f"os.write(1, {rest!r})", heard=heard.append)
    command.keep()
    until(lambda: not command.running, "the end")
    command.keep()
    logged = [line.split(" INFO ", 1)[1] for line in lines(log)]
    assert logged == [
        "INFO :      started 100 % of it",
        printed[2],
        "counted to 200",
        "no end of line, and bytes that are no text: \ufffd",
    ]
    assert len(heard) == len(printed)  # whoever listens hears everything


def test_a_log_is_its_owners_alone_from_the_first_byte_and_after_midnight(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.log"
    before = os.umask(0o000)
    try:
        log = rotating_log(path, days=2)
        for day in range(4):
            log.emit(logging.LogRecord("", logging.INFO, "", 0, f"day {day}", None, None))
            log.rolloverAt -= 86400  # type: ignore[attr-defined]  # midnight has passed
    finally:
        os.umask(before)
        log.close()
    found = sorted(path.parent.iterdir())
    assert {p.stat().st_mode & 0o777 for p in found} == {0o600}
    assert path in found


def test_a_log_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("yesterday\n")
    path.chmod(0o644)
    log = rotating_log(path, days=2)
    log.emit(logging.LogRecord("", logging.INFO, "", 0, "today", None, None))
    log.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith("yesterday\n")
    assert path.read_text().endswith("today\n")


# Nothing is left behind


@pytest.fixture
def family(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    supervisor = subprocess.Popen(
        [sys.executable, "-m", SUPERVISOR, str(tmp_path / "some.log")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    numbers: dict[str, Any] = {}
    try:
        assert supervisor.stdout is not None
        numbers = json.loads(supervisor.stdout.readline())
        log = tmp_path / "some.log"
        until(lambda: log.read_text().count("ready") == 2, "commands that hear no signals")
        yield supervisor, numbers
    finally:
        supervisor.kill()
        for pid in pids(numbers):
            if not ended(pid):
                os.kill(pid, signal.SIGKILL)
        supervisor.communicate()  # last: whatever is left holds the other end


def pids(numbers: dict[str, Any]) -> list[int]:
    return [pid for kind in ("commands", "forks", "fork server") for pid in numbers.get(kind, [])]


def test_a_fork_starts_with_everything_imported(
    family: tuple[subprocess.Popen[str], dict[str, Any]],
) -> None:
    _, numbers = family
    assert numbers["cold"]  # the supervisor itself imported nothing of it
    assert numbers["warm"] == [True, True]
    assert len({*numbers["forks"], *numbers["fork server"]}) == 3


def test_when_the_supervisor_is_killed_all_it_started_ends(
    family: tuple[subprocess.Popen[str], dict[str, Any]],
) -> None:
    supervisor, numbers = family
    assert len(pids(numbers)) == 5
    assert not any(ended(pid) for pid in pids(numbers))
    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()
    until(lambda: all(ended(pid) for pid in pids(numbers)), f"the end of {numbers}", within_s=10.0)


def test_when_the_fork_server_is_killed_no_supervisor_is_hurt(
    family: tuple[subprocess.Popen[str], dict[str, Any]],
) -> None:
    supervisor, numbers = family
    os.kill(numbers["fork server"][0], signal.SIGKILL)
    until(lambda: ended(numbers["fork server"][0]), "the end of the fork server")
    assert supervisor.poll() is None
    assert not any(ended(pid) for pid in numbers["commands"])
