"""status.json: where a run stands at this moment, for everybody who watches it.

The run writes the file whole at each change; a reader sees the old state or the new one, never a part. It
says what results.json will say at the end, and nothing that no site has sent.
"""

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from server.rounds import Outcome
from shared.config import Config
from shared.errors import ConfigError, WardroundError
from shared.files import write_atomically

Phase = Literal[
    "enrolment", "statistics", "training", "evaluation", "calibration", "finish", "done", "failed"
]
State = Literal["enrolled", "awaited", "used", "late", "failed", "refused", "approval"]
Count = Annotated[int, Field(ge=0)]


class SiteStatus(Config):
    """One site now: `state` and `reason` are of its last answer, or of what it is awaited for."""

    state: State
    reason: str | None = None
    patients: Count = Field(default=0, description="behind its last used answer; before that, enrolled")
    seconds: Annotated[float, Field(ge=0)] = Field(default=0.0, description="its last answer took")
    bytes_up: Count = Field(default=0, description="received from it in this run")
    bytes_down: Count = Field(default=0, description="sent to it in this run")


class RunStatus(Config):
    """One run now; times are UTC in ISO 8601."""

    phase: Phase
    round: Count = Field(description="the round under way or the last one; 0 before the first")
    rounds: Count
    started: str
    updated: str
    sites: dict[str, SiteStatus] = Field(default={}, description="a node that gave no name is `node N`")
    error: str | None = Field(default=None, description="code of the error that ended the run")
    message: str | None = Field(default=None, description="the coordinator's own words for it")

    @property
    def awaited(self) -> list[str]:
        """Sites that owe an answer, sorted."""
        return sorted(name for name, site in self.sites.items() if site.state == "awaited")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what a `Board` wrote; raise ConfigError when it is missing or something else."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ConfigError(f"{path} does not exist. The run has not begun; look again later.") from error
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read as JSON: {error}. Give a run's status.json.") from error
        return cls.parse(values, str(path))


class Board:
    """Keeps a run's state in one file; without a path, in memory only."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._status = RunStatus(phase="enrolment", round=0, rounds=0, started=_now(), updated=_now())

    @property
    def status(self) -> RunStatus:
        """What the file says now."""
        return self._status

    def begin(self, *, rounds: int, done: int = 0, resume: bool = False) -> None:
        """Open the board of a run of `rounds`, `done` of them before; a resumed run counts its bytes on."""
        earlier: dict[str, Any] = {}
        if resume and self._path is not None:
            with suppress(ConfigError):  # the file is for watching only; a run never ends because of it
                found = RunStatus.read(self._path)
                now = {"state": "awaited", "reason": None}
                sites = {name: site.model_copy(update=now) for name, site in found.sites.items()}
                earlier = {"started": found.started, "sites": sites}
        self._show(phase="enrolment", round=done, rounds=rounds, error=None, message=None, **earlier)

    def enter(self, phase: Phase, round_number: int | None = None) -> None:
        """Say what the run does now."""
        self._show(phase=phase, round=self._status.round if round_number is None else round_number)

    def ask(self, sites: Iterable[str], reason: str | None = None) -> None:
        """Show `sites` as awaited."""
        self._show(sites={name: self._of(name, state="awaited", reason=reason) for name in sites})

    def tell(self, site: str, state: State, reason: str | None = None, *, patients: int = 0) -> None:
        """Show what became of a site outside an exchange: its enrolment, or a refusal afterwards."""
        known = patients or self._of(site, state=state).patients
        self._show(sites={site: self._of(site, state=state, reason=reason, patients=known)})

    def answer(self, site: str, outcomes: Sequence[Outcome], *, bytes_up: int, bytes_down: int) -> None:
        """Show one exchange with a site: the first answer that was not used decides its state."""
        worst = next((o for o in outcomes if o.status != "used"), outcomes[-1])
        before = self._of(site, state="awaited")
        patients = next((o.patients for o in reversed(outcomes) if o.status == "used"), before.patients)
        shown = before.model_copy(
            update={
                "state": worst.status,
                "reason": worst.reason,
                "patients": patients,
                "seconds": worst.seconds,
                "bytes_up": before.bytes_up + bytes_up,
                "bytes_down": before.bytes_down + bytes_down,
            }
        )
        self._show(sites={site: shown})

    def fail(self, error: Exception) -> None:
        """Say which error ended the run."""
        code = error.code if isinstance(error, WardroundError) else WardroundError.code
        text = str(error) if isinstance(error, WardroundError) else f"{type(error).__name__}: {error}"
        self._show(phase="failed", error=code, message=text)

    def _of(self, site: str, **changes: Any) -> SiteStatus:
        shown = self._status.sites.get(site) or SiteStatus(state="awaited")
        return shown.model_copy(update=changes)

    def _show(self, sites: dict[str, SiteStatus] | None = None, **changes: Any) -> None:
        together = {**self._status.sites, **(sites or {})}
        changes |= {"sites": together, "updated": _now()}
        self._status = self._status.model_copy(update=changes)
        if self._path is None:
            return
        text = json.dumps(self._status.model_dump(mode="json"), indent=1, allow_nan=False)
        with write_atomically(self._path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
