"""Commands of the site that load PyTorch, run in processes of their own; the pages' own process never does.

Each is asked for by what it depends on, and answered once: later looks find the answer there.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from shared.study import Study

PROGRAM = (sys.executable, "-m", "wardround", "site")
AT_ONCE = 2
KEPT = 32
LIMIT_S = 3600.0


@dataclass(frozen=True)
class Answer:
    """What a command printed as JSON, or why there is nothing, in words."""

    values: Any = None
    error: str | None = None


class Aside:
    """Runs commands of one site about studies."""

    def __init__(self, site_file: Path) -> None:
        self._site_file = site_file
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="aside")
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
                self._answers[key] = self._pool.submit(self._run, command, study)
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

    def _run(self, command: str, study: Study) -> Answer:
        with tempfile.TemporaryDirectory(prefix="wardround-") as folder:
            file = Path(folder) / "study.yaml"
            file.write_text(study.to_yaml(), encoding="utf-8")
            try:
                done = subprocess.run(  # noqa: S603 - our own program and our own file
                    [*PROGRAM, command, str(self._site_file), str(file), "--json"],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    check=False,
                    timeout=LIMIT_S,
                    env={**os.environ, "COLUMNS": "200"},
                )
                return Answer(json.loads(done.stdout))
            except subprocess.TimeoutExpired:
                return Answer(
                    error=f"`wardround site {command}` took longer than {LIMIT_S / 60:.0f} minutes."
                )
            except ValueError:
                last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
                return Answer(error=f"`wardround site {command}` gave no answer. {' '.join(last)}")
