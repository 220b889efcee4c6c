"""Who at the hospital allowed which study, and which studies wait for an answer.

`work/approvals.jsonl` has one line for each decision; the last one about a digest counts. A digest stands for
every word of a study, so a study that changes must be approved again. `work/pending/<digest>.yaml` holds
each study that was refused for want of an approval, and when the coordinator first asked. Once a person has
decided, `work/decided/<digest>.yaml` keeps what was decided about.
"""

import fcntl
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from client.audit import Audit
from client.person import person
from shared.config import read_yaml
from shared.errors import ConfigError, PolicyError
from shared.files import write_atomically
from shared.study import Study

MAX_PENDING = 100
"""A coordinator that sends ever new studies must not fill the hospital's disk."""


class AskedAgainError(PolicyError):
    """A study has no approval yet, which the coordinator goes on asking for; `known`: it was refused before.

    `about` names study and run, for the audit log.
    """

    def __init__(self, refusal: PolicyError, study: Study, run: str, *, known: bool) -> None:
        super().__init__("approval", str(refusal))
        self.known = known
        self.about = {"study": study.digest(), "run": run}


@dataclass(frozen=True)
class Pending:
    """A study that waits for an answer; `asked` is ISO 8601 in UTC."""

    study: Study
    asked: str


@dataclass(frozen=True)
class Decision:
    """One line of approvals.jsonl; a `refused` study is not asked about again, a withdrawn one is."""

    study: str
    name: str
    approved: bool
    by: str
    time: str
    refused: bool = False

    @property
    def word(self) -> str:
        """Return approved, refused or withdrawn."""
        return "approved" if self.approved else "refused" if self.refused else "withdrawn"


class Approvals:
    """The decisions of one site, in its `work` folder."""

    def __init__(self, work: Path, audit: Audit) -> None:
        self._path = work / "approvals.jsonl"
        self._pending = work / "pending"
        self._decided = work / "decided"
        self._audit = audit

    def approved(self, digest: str) -> bool:
        """Whether the last decision about this study was yes; PolicyError if the file is damaged."""
        decision = self.decisions().get(digest)
        return decision is not None and decision.approved

    def decisions(self) -> dict[str, Decision]:
        """Read the last decision about each digest.

        Raises
        ------
        PolicyError
            A line that is no decision: then nothing counts as approved.
        """
        if not self._path.exists():
            return {}
        *lines, _torn = self._path.read_bytes().split(b"\n")  # a line without its end was never confirmed
        found = {}
        for number, line in enumerate(lines, start=1):
            try:
                decision = Decision(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise PolicyError(
                    "approval", f"{self._path} line {number} is no decision ({error}). Restore the file."
                ) from error
            found[decision.study] = decision
        return found

    def refused(self, digest: str) -> bool:
        """Whether the last decision about this study was a refusal; False if the file is damaged."""
        try:
            decision = self.decisions().get(digest)
        except PolicyError:  # then nothing is approved either, which `approved` has said
            return False
        return decision is not None and decision.refused

    def approve(self, study: Study, *, by: str | None = None) -> None:
        """Allow a study; the audit line comes first, so that no approval can count without one.

        `by` is the person's name; None takes that of the account that runs this program.
        """
        by = by or person()
        self._audit.append("approved", study=study.digest(), name=study.name, by=by)
        self._decide(Decision(study.digest(), study.name, approved=True, by=by, time=_now()))
        self._settle(study)

    def refuse(self, study: Study, *, by: str | None = None) -> None:
        """Say no to a study, which then waits no longer; it can still be approved later."""
        by = by or person()
        no = Decision(study.digest(), study.name, approved=False, by=by, time=_now(), refused=True)
        self._decide(no)  # takes effect even if the audit cannot be written
        self._audit.append("declined", study=study.digest(), name=study.name, by=by)
        self._settle(study)

    def withdraw(self, digest: str, *, by: str | None = None) -> None:
        """Take an approval back at once; ConfigError if there is none."""
        decision = self.decisions().get(digest)
        if decision is None or not decision.approved:
            raise ConfigError(f"study {digest[:12]}... is not approved here; there is nothing to withdraw.")
        by = by or person()
        back = Decision(digest, decision.name, approved=False, by=by, time=_now())
        self._decide(back)  # takes effect even if the audit cannot be written
        self._audit.append("withdrawn", study=digest, name=decision.name, by=by)

    def decided(self, digest: str) -> Study | None:
        """Read the text of a study that was decided about; None where it was not kept."""
        path = self._decided / f"{digest}.yaml"
        return Study.load(path) if path.exists() else None

    def ask(self, study: Study) -> None:
        """Keep a study for a person to decide on, unless one refused it; the first request's time stays."""
        path = self._file(study.digest())
        if path.exists() or self.refused(study.digest()):
            return
        if self._pending.exists() and len(list(self._pending.iterdir())) >= MAX_PENDING:
            return
        self._pending.mkdir(parents=True, exist_ok=True, mode=0o700)
        values = {"asked": _now(), "study": study.model_dump(mode="json")}
        with write_atomically(path, private=True) as temporary:
            temporary.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")

    def is_known(self, study: Study) -> bool:
        """Whether the study waits already, or was refused by a person."""
        return self._file(study.digest()).exists() or self.refused(study.digest())

    def pending(self) -> list[Pending]:
        """Read the studies that wait, the oldest request first."""
        found = []
        for path in self._pending.glob("*.yaml"):
            values = read_yaml(path)
            if not isinstance(values, dict) or {"asked", "study"} - values.keys():
                raise ConfigError(f"{path} is damaged. Remove it; the coordinator asks again.")
            found.append(Pending(Study.parse(values["study"], str(path)), str(values["asked"])))
        return sorted(found, key=lambda one: (one.asked, one.study.digest()))

    def find(self, wanted: str) -> Study:
        """Find a waiting study by its name, or by its digest or the first 8 characters and more of it.

        Raises
        ------
        ConfigError
            None or several are called so.
        """
        waiting = [one.study for one in self.pending()]
        found = [
            s for s in waiting if s.name == wanted or (len(wanted) >= 8 and s.digest().startswith(wanted))
        ]
        if len(found) != 1:
            known = ", ".join(f"{s.name} ({s.digest()[:12]})" for s in waiting) or "none"
            raise ConfigError(f"{len(found)} waiting studies are called {wanted!r}; waiting: {known}.")
        return found[0]

    def _decide(self, decision: Decision) -> None:
        line = {name: value for name, value in vars(decision).items() if value or name != "refused"}
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(handle, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # the pages and the terminal may both decide
            file.seek(file.read().rfind(b"\n") + 1)
            file.truncate()
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _settle(self, study: Study) -> None:
        """Keep what was decided about, and let it wait no longer."""
        self._decided.mkdir(parents=True, exist_ok=True, mode=0o700)
        with write_atomically(self._decided / f"{study.digest()}.yaml", private=True) as temporary:
            temporary.write_text(study.to_yaml(), encoding="utf-8")
        self._file(study.digest()).unlink(missing_ok=True)

    def _file(self, digest: str) -> Path:
        return self._pending / f"{digest}.yaml"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
