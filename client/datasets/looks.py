"""Starts the processes that look at data sets, one at a time, and says how far they are."""

import json
import logging
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock, Thread
from typing import Literal

from pydantic import ValidationError

from client.datasets.looking import ASKED, FAILED, PAGE, SUMMARY
from client.datasets.registry import DataSet, Registry
from client.datasets.summary import Summary
from shared.files import private_folder, write_atomically

PROGRAM = (sys.executable, "-c", "from client.datasets.looking import main; main()")
LONGEST_TEXT = 4000
INTERRUPTED = "It was interrupted when these pages ended. Look again."

_log = logging.getLogger("wardround.pages")


@dataclass(frozen=True)
class Progress:
    """How far one look is; nothing is counted yet while `total` is 0."""

    state: Literal["waiting", "running"] = "waiting"
    what: str = "waiting for another look to end"
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Failed:
    """Why the last look led to nothing; `when` is None where nobody could write it down."""

    text: str
    when: datetime | None = None


class Looks:
    """Looks at data sets, kept under `folder`."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self._folder = folder
        self._registry = registry
        self._under_way: dict[str, Progress] = {}
        self._lock = Lock()
        self._one_at_a_time = Lock()

    def begin(self, dataset: DataSet) -> None:
        """Look at a data set in a process of its own, unless that is under way."""
        with self._lock:
            if dataset.id in self._under_way:
                return
            self._under_way[dataset.id] = Progress()
        try:
            folder = private_folder(self._folder / dataset.id)
            with write_atomically(folder / ASKED, private=True) as path:
                path.write_text(dataset.model_dump_json(), encoding="utf-8")
        except BaseException:
            self._over(dataset.id)
            raise
        Thread(target=self._work, args=(dataset, folder), daemon=True).start()

    def progress(self, dataset: str) -> Progress | None:
        """Say how far a look is; None if none is under way."""
        with self._lock:
            return self._under_way.get(dataset)

    def summary(self, dataset: str) -> Summary | None:
        """Return what the last finished look found; None before there was one."""
        try:
            return Summary.model_validate_json((self._folder / dataset / SUMMARY).read_bytes())
        except (FileNotFoundError, ValidationError):  # of an earlier version: looking again mends it
            return None

    def failed(self, dataset: str) -> Failed | None:
        """Say why the last look led to nothing; None if it did not fail or one is under way."""
        folder = self._folder / dataset
        if self.progress(dataset) is not None:
            return None
        if (path := folder / FAILED).exists():
            values = json.loads(path.read_bytes())
            return Failed(values["text"], datetime.fromisoformat(values["when"]))
        return Failed(INTERRUPTED) if (folder / ASKED).exists() else None

    def page(self, dataset: str) -> Path | None:
        """Where the page with pictures lies."""
        path = self._folder / dataset / PAGE
        return path if path.exists() else None

    def _work(self, dataset: DataSet, folder: Path) -> None:
        with self._one_at_a_time:
            try:
                (folder / FAILED).unlink(missing_ok=True)
                fault = self._run(dataset.id, folder)
                if fault is None and dataset.archive is not None:
                    self._registry.imported(dataset)
                if fault is not None:
                    _write_failed(folder, fault)
                (folder / ASKED).unlink(missing_ok=True)
            except Exception:  # a thread of its own: the page says that it was interrupted
                _log.exception("a data set could not be looked at")
            finally:
                self._over(dataset.id)

    def _run(self, dataset: str, folder: Path) -> str | None:
        """Run the process to its end; return why it led to nothing."""
        self._tell(dataset, Progress("running", "starting"))
        fault, said = None, ""
        with subprocess.Popen(  # noqa: S603 - our own program and our own folder
            [*PROGRAM, str(folder.absolute())],
            stdin=subprocess.PIPE,  # never written to: it ends with these pages, when this closes
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            for line in process.stdout or ():
                try:
                    values = json.loads(line)
                    fault = values.get("error", fault)
                    if "what" in values:
                        self._tell(dataset, replace(Progress("running"), **values))
                except (ValueError, TypeError, AttributeError):
                    said = line.strip() or said  # what a library prints
            code = process.wait()
        if code == 0:
            return None
        return fault or f"The process that looked ended with code {code}. {said}".strip()

    def _tell(self, dataset: str, progress: Progress) -> None:
        with self._lock:
            self._under_way[dataset] = progress

    def _over(self, dataset: str) -> None:
        with self._lock:
            self._under_way.pop(dataset, None)


def _write_failed(folder: Path, text: str) -> None:
    values = {"when": datetime.now(UTC).isoformat(), "text": text[:LONGEST_TEXT]}
    with write_atomically(folder / FAILED, private=True) as path:
        path.write_text(json.dumps(values), encoding="utf-8")
