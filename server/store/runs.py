"""The runs that were asked for, and how they move from state to state."""

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import select, update

from server.store.database import Database
from server.store.rows import RunRow
from shared.database import utc_now
from shared.errors import ConfigError, FederationError

WAITING, RUNNING, STOPPING = "waiting", "running", "stopping"
FINISHED, FAILED, STOPPED = "finished", "failed", "stopped"
OPEN = (WAITING, RUNNING, STOPPING)
MOVES = {
    WAITING: {RUNNING, STOPPED, FAILED},
    RUNNING: {WAITING, STOPPING, FINISHED, FAILED},  # waiting again: the coordinator was killed meanwhile
    STOPPING: {STOPPED, FINISHED, FAILED},
    FINISHED: set[str](),
    FAILED: {WAITING},
    STOPPED: {WAITING},
}


class Runs(Database):
    """The runs."""

    def runs(self, states: Sequence[str] = ()) -> Sequence[RunRow]:
        """Return the runs in these states, or all, the oldest first."""
        query = select(RunRow).order_by(RunRow.created, RunRow.id)
        with self._reading() as session:
            return session.scalars(query.where(RunRow.state.in_(states)) if states else query).all()

    def run(self, run: str) -> RunRow:
        """One run; raise ConfigError when there is none."""
        with self._reading() as session:
            found = session.get(RunRow, run)
        if found is None:
            raise ConfigError(f"there is no run {run!r}. `wardround coordinator runs` lists them.")
        return found

    def start(
        self,
        *,
        study_name: str,
        study_digest: str,
        study_yaml: str,
        prepare: Callable[[str], None] = lambda _: None,
    ) -> str:
        """Ask for a run and return its id, such as quickstart-3f9a1c; `prepare` sees it before `up` does."""
        run = f"{study_name}-{secrets.token_hex(3)}"
        row = RunRow(
            id=run,
            study_name=study_name,
            study_digest=study_digest,
            study_yaml=study_yaml,
            state=WAITING,
            created=utc_now(),
            attempts=0,
        )
        prepare(run)
        with self._writing() as session:
            session.add(row)
        return run

    def resume(self, run: str) -> None:
        """Let a failed or stopped run go on from its newest checkpoint; raise FederationError for another."""
        self.set_run(run, state=WAITING)

    def stop(self, run: str) -> str:
        """Ask for a run to be stopped and return its new state; raise FederationError when it is over."""
        while True:
            target = STOPPED if self.run(run).state == WAITING else STOPPING
            try:
                self.set_run(run, state=target)
            except FederationError:
                if target == STOPPED and self.run(run).state != WAITING:
                    continue  # it was started between the look and the move
                raise
            return target

    def set_run(
        self, run: str, *, state: str, reason: str | None = None, flower_run: int | None = None
    ) -> None:
        """Bring a run into `state`; raise FederationError when it cannot get there from where it is."""
        origins = [origin for origin, targets in MOVES.items() if state in targets]
        values: dict[str, Any] = {"state": state, "reason": reason}
        if state == RUNNING:
            values |= {"started": utc_now(), "ended": None, "attempts": RunRow.attempts + 1}
        if state not in OPEN:
            values["ended"] = utc_now()
        if state == WAITING:
            values |= {"flower_run": None, "ended": None}
        if flower_run is not None:
            values["flower_run"] = flower_run
        with self._writing() as session:
            moved = session.scalar(
                update(RunRow)
                .where(RunRow.id == run, RunRow.state.in_(origins))
                .values(**values)
                .returning(RunRow.id)
            )
        if moved is None:
            found = self.run(run).state
            raise FederationError(
                f"{run} is {found} and cannot become {state}: that needs one of {origins}. "
                f"See: wardround coordinator status {run}"
            )
