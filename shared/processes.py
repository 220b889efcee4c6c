"""Long-lived processes around Flower's: one that is watched and restarted, and forks of one that is warm.

No process outlives the one that started it, however that one ended: a command sees its standard input close,
a fork sees its parent go.
"""

import contextlib
import logging
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from io import FileIO, TextIOWrapper
from logging.handlers import TimedRotatingFileHandler
from multiprocessing import forkserver, get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO, Any

LONGEST_PAUSE_S = 60.0
LAST_WORDS_S = 1.0

FLOWER_ENVIRONMENT: Mapping[str, str] = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "PYTHONUNBUFFERED": "1",
}
"""Nothing about a run is reported to anybody."""

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
ROUTINE = re.compile(r"uvicorn\.access.* 200$|ControlServicer\.ListNodes$")
"""A line for each request that went well, several a second from each site: not worth a disk."""


def rotating_log(path: Path, *, days: int) -> logging.Handler:
    """Open a log that starts a new file each midnight (UTC) and keeps `days` of them; owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = _PrivateLog(path, when="midnight", backupCount=days, utc=True, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return handler


class _PrivateLog(TimedRotatingFileHandler):
    def _open(self) -> TextIOWrapper:
        # Here, not once before: each midnight's new file comes this way too.
        handle = os.open(self.baseFilename, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        os.fchmod(handle, 0o600)
        return TextIOWrapper(FileIO(handle, "a"), encoding=self.encoding, errors=self.errors)


@dataclass
class Command:
    """A command that is kept running: after an end it did not ask for, it is started again, ever more slowly.

    Every line it prints goes to `log`, and to `heard` if that is given.
    """

    arguments: Sequence[str]
    log: logging.Handler
    environment: Mapping[str, str] = field(default_factory=dict)
    heard: Callable[[str], None] | None = None
    _process: subprocess.Popen[str] | None = None
    _listener: threading.Thread | None = None
    _started: float = 0.0
    _pause_s: float = 0.0
    _ended: float = 0.0

    @property
    def running(self) -> bool:
        """Whether the process is there now."""
        return self._process is not None and self._process.poll() is None

    def keep(self) -> int | None:
        """Start it unless it runs; returns the exit code when it had ended by itself, else None.

        Call this every second or so. The pause before a restart doubles up to a minute, and is forgotten
        once the process has lived for a minute.
        """
        if self.running:
            return None
        code = None if self._process is None else self._process.poll()
        if code is not None:
            self._release()
            self._ended = time.monotonic()
            lived = self._ended - self._started
            longer_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)
            self._pause_s = 1.0 if lived > LONGEST_PAUSE_S else max(1.0, longer_s)
        elif self._ended == 0.0 or time.monotonic() - self._ended >= self._pause_s:
            self._start()
        return code

    def stop(self, *, grace_s: float = 10.0) -> None:
        """End it: SIGTERM first, SIGKILL after `grace_s` seconds."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._release()

    def _release(self) -> None:
        """Let go of a process that has ended, after its last words."""
        if self._listener is not None:
            self._listener.join(LAST_WORDS_S)
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = self._listener = None

    def _start(self) -> None:
        self._started = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603 - our own arguments
            self.arguments,
            stdin=subprocess.PIPE,  # never written to: it closes when this process ends
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **FLOWER_ENVIRONMENT, **self.environment},
            start_new_session=True,  # a Ctrl-C at the terminal is for the supervisor, which then drains
        )
        self._listener = threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._listener.start()

    def _listen(self, output: IO[str]) -> None:
        with output:
            for line in output:
                text = COLOURS.sub("", line.rstrip())
                if text and not ROUTINE.search(text):
                    self.log.handle(logging.LogRecord("", logging.INFO, "", 0, text, None, None))
                if self.heard is not None:
                    self.heard(text)


def end_with_stdin() -> None:
    """End this process when its standard input closes; for a process that `Command` started."""

    def wait() -> None:
        # Not sys.stdin.read: its lock, held by a daemon thread, makes an orderly end a fatal error.
        while os.read(0, 4096):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


class WarmForks:
    """Processes forked from one that has imported `modules` once, so that each starts in milliseconds.

    The parent of the forks is a process of its own with a single thread, so that forking is safe whatever
    threads this one has.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(list(modules))

    def warm_up(self) -> None:
        """Start importing now, in the background, instead of at the first fork."""
        forkserver.ensure_running()

    def start(self, target: str, *arguments: Any) -> BaseProcess:
        """Run ``module:function`` in a fork with picklable arguments; this process need not import it."""
        process = self._context.Process(target=_forked, args=(target, arguments), daemon=True)
        process.start()
        return process

    def pipe(self) -> Any:
        """Make a one-way pipe (receiver, sender) for a fork to answer through."""
        return self._context.Pipe(duplex=False)


def _forked(target: str, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor decides when work is dropped
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    module, _, function = target.partition(":")
    getattr(import_module(module), function)(*arguments)


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
