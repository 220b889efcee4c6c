"""What the coordinator's pages work on; stands at `request.app.state.office`.

The pages are a process of their own beside `wardround coordinator up`. They write the store, as commands do,
and ask the coordinator that is up what only it knows: who is connected.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Depends, HTTPException, Request

from server.results import Results, Round
from server.settings import Coordinator
from server.so_far import checkpoints, rounds_so_far
from server.store import RunRow, Store
from server.watching import look
from shared.control import control_pb2 as pb
from shared.errors import ConfigError
from shared.web.visit import Visit, needs

Keeper = Annotated[Visit, Depends(needs("coordinator"))]
Looker = Annotated[Visit, Depends(needs("coordinator", "observer"))]
QuietLooker = Annotated[Visit, Depends(needs("coordinator", "observer", quiet=True))]

FRESH_S = 1.0
"""How old the status may be: several people may watch."""
MOST_KEPT = 32

Value = TypeVar("Value")


@dataclass
class Kept:
    """The last few results of what takes a while, each made once."""

    _values: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict)
    _lock: Any = field(default_factory=threading.RLock)  # what is made may be made of what is kept

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return what `make` returned for an equal key, or let it make it."""
        with self._lock:
            if key not in self._values:
                self._values[key] = make()
            self._values.move_to_end(key)
            while len(self._values) > MOST_KEPT:
                self._values.popitem(last=False)
            found: Value = self._values[key]
            return found


@dataclass
class Office:
    """The coordinator's folder and its store, opened once."""

    settings: Coordinator
    store: Store
    kept: Kept = field(default_factory=Kept)
    _status: tuple[float, pb.Status, bool] | None = None
    _asking: threading.Lock = field(default_factory=threading.Lock)

    def status(self) -> tuple[pb.Status, bool]:
        """Return sites and runs, and whether a coordinator is up that said so."""
        with self._asking:
            if self._status is None or time.monotonic() - self._status[0] > FRESH_S:
                self._status = (time.monotonic(), *look(self.settings, self.store))
            return self._status[1:]

    def forget(self) -> None:
        """Look anew at the next question: something was changed."""
        with self._asking:
            self._status = None

    def run(self, run: str) -> RunRow:
        """One run; 404 where there is none."""
        try:
            return self.store.run(run)
        except ConfigError as error:
            raise HTTPException(404) from error

    def folder(self, run: str) -> Path:
        """Folder of a run that exists."""
        return self.settings.run_folder(run)

    def results(self, run: str) -> Results | None:
        """Return what a run found out; None while it has not, or where the file is of another version."""
        path = self.folder(run) / "results.json"
        if not path.exists():
            return None
        try:
            return self.kept.get(("results", run, path.stat().st_mtime_ns), lambda: Results.read(path))
        except ConfigError:
            return None

    def rounds(self, run: str) -> tuple[Round, ...]:
        """Return the rounds of a run that are over, also while it is under way."""
        if (results := self.results(run)) is not None:
            return results.rounds
        ended = self.round_ended(run)
        return self.kept.get(("rounds", run, ended), lambda: rounds_so_far(self._checkpoints(run)))

    def round_ended(self, run: str) -> float | None:
        """When the last round ended, in seconds since 1970; None before the first."""
        newest = next(iter(checkpoints(self._checkpoints(run))), None)
        try:
            return None if newest is None else newest.stat().st_mtime
        except FileNotFoundError:
            return None  # replaced in this moment

    def _checkpoints(self, run: str) -> Path:
        return self.folder(run) / "checkpoints"


def office_of(request: Request) -> Office:
    """Return what the pages work on."""
    office: Office = request.app.state.office
    return office


Here = Annotated[Office, Depends(office_of)]
