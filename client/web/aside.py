"""Commands of the site that load PyTorch, run in processes of their own; the pages' own process never does.

Each is asked for by what it depends on, and answered once: later looks find the answer there.
"""

import json
import logging
import subprocess
import sys
import tempfile
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore, Lock, Thread, Timer
from typing import Any

from shared.study import Study

PROGRAM = (
    sys.executable,
    "-c",
    "from shared.processes import end_with_stdin; end_with_stdin(); from wardround import main; main()",
    "site",
)
"""Ends with the pages: their end of its standard input closes then."""
AT_ONCE = 2
KEPT = 32
LIMIT_S = 3600.0

_log = logging.getLogger("wardround.pages")


@dataclass(frozen=True)
class Answer:
    """What a command printed as JSON, or why there is nothing, in words."""

    values: Any = None
    error: str | None = None


class Aside:
    """Runs commands of one site about studies."""

    def __init__(self, site_file: Path) -> None:
        self._site_file = site_file
        self._room = BoundedSemaphore(AT_ONCE)
        self._answers: OrderedDict[tuple[str, ...], Future[Answer]] = OrderedDict()
        self._lock = Lock()

    def answer(self, command: str, study: Study, *depends: str, begin: bool = True) -> Answer | None:
        """Return the answer of `wardround site COMMAND SITE STUDY --json`; None until it is there.

        `depends` is what else the answer depends on: when that changes, the command is run again. With
        `begin` false it is not started.
        """
        key = (command, study.digest(), *depends)
        with self._lock:
            if key not in self._answers:
                if not begin:
                    return None
                self._answers[key] = Future()
                work = (self._answers[key], command, study)
                Thread(target=self._work, args=work, daemon=True).start()  # never holds up the pages' end
                while len(self._answers) > KEPT:
                    self._answers.popitem(last=False)
            future = self._answers[key]
        return future.result() if future.done() else None

    def is_running(self, command: str, study: Study, *depends: str) -> bool:
        """Whether the answer is being worked out."""
        with self._lock:
            future = self._answers.get((command, study.digest(), *depends))
        return future is not None and not future.done()

    def forget(self, command: str, study: Study, *depends: str) -> None:
        """Let the command be run again at the next question, unless it is running."""
        with self._lock:
            future = self._answers.get((command, study.digest(), *depends))
            if future is not None and future.done():
                del self._answers[(command, study.digest(), *depends)]

    def _work(self, future: Future[Answer], command: str, study: Study) -> None:
        with self._room:
            try:
                future.set_result(self._run(command, study))
            except Exception as error:  # a thread of its own: whoever asked would wait for ever
                _log.exception("`wardround site %s` could not be run", command)
                text = f"`wardround site {command}` could not be run: {type(error).__name__}."
                future.set_result(Answer(error=text))

    def _run(self, command: str, study: Study) -> Answer:
        with tempfile.TemporaryDirectory(prefix="wardround-") as folder:
            file = Path(folder) / "study.yaml"
            file.write_text(study.to_yaml(), encoding="utf-8")
            return answer_of(command, str(self._site_file), str(file))


def answer_of(command: str, *arguments: str) -> Answer:
    """Run `wardround site COMMAND ... --json` to its end."""
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(  # noqa: S603 - our own program; no shell reads the arguments
            [*PROGRAM, command, *arguments, "--json"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
        ) as process,
    ):
        timer = Timer(LIMIT_S, process.kill)
        timer.daemon = True
        timer.start()
        try:
            printed = process.stdout.read() if process.stdout else b""
        finally:
            timer.cancel()
        process.wait()
        said.seek(0)
        last = said.read().decode(errors="replace").strip().splitlines()[-1:]
    try:
        return Answer(json.loads(printed))
    except ValueError:
        code = f"`wardround site {command}` ended with code {process.returncode} and no answer."
        return Answer(error=" ".join([code, *last]))
