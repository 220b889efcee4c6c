"""What this hospital lets a study do, whatever the study asks for.

What holds here, and is tested:
- a study takes part only if the site lists it, or a person at the site has approved exactly this text of it;
- training, scoring and statistics start only within the site's hours;
- nothing is trained beyond the site's budget, counted over all studies and all runs;
- all of it is decided before data is read, by values of the site's own file and folder. A study can only be
  refused by what it says, never allowed: it has no key that reaches in here.
What may leave is decided in client/gate.py, record by record, from the same policy.
"""

import fcntl
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import BeforeValidator, Field, model_validator

from client.approvals import Approvals, AskedAgainError
from client.audit import Audit
from shared.config import Config
from shared.errors import PolicyError
from shared.study import Study
from shared.wire import RECORDS

CONTROL = frozenset({"membership", "greeting"})
"""What the node tells the control service about itself: no policy silences it, since it holds no patient."""

ON_REQUEST = frozenset({"statistics"})
"""Kinds that no training run needs: they leave only where a hospital adds them to `release`."""

RELEASABLE = tuple(kind for kind, spec in RECORDS.items() if spec.leaves_site and kind not in CONTROL)
RELEASES = tuple(kind for kind in RELEASABLE if kind not in ON_REQUEST)
"""What may leave unless a hospital says otherwise."""

ASK: Literal["ask"] = "ask"
ANY: Literal["any"] = "any"
HOURS = re.compile(r"([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)")
STUDY = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}|[0-9a-f]{64}")
WORKING_KINDS = frozenset({"train", "evaluate", "describe"})
"""Instructions that read scans and compute for long; the others wait for no hour."""


def _hours(value: Any) -> Any:
    ranges = [value] if isinstance(value, str) else value
    for text in ranges if isinstance(ranges, list | tuple) else ():
        if not isinstance(text, str) or not HOURS.fullmatch(text) or len(set(text.split("-"))) == 1:
            raise ValueError('expected a range of local time such as "20:00-06:00", or a list of them')
    return ranges


def _studies(value: Any) -> Any:
    if value in (ASK, ANY):
        return value
    if not isinstance(value, list | tuple) or not all(
        isinstance(v, str) and STUDY.fullmatch(v) for v in value
    ):
        raise ValueError('expected "ask", "any", or a list of names or digests of studies')
    return value


class Budget(Config):
    """What may be spent of the patients' privacy; None sets no bound."""

    epsilon: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="sum over all studies; with it, training must be differentially private"
    )
    updates: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="weight changes released for one study, over all its runs"
    )


class Policy(Config):
    """What may happen at this hospital and what may leave it, whatever a study asks for."""

    studies: Annotated[Literal["ask", "any"] | tuple[str, ...], BeforeValidator(_studies)] = Field(
        default=ASK, description="ask: `wardround site approve`; any; or names and digests"
    )
    minimum_patients: int = Field(default=10, ge=1, description="a sum over fewer patients is never released")
    release: tuple[str, ...] = Field(default=RELEASES, description="kinds of record that may leave")
    budget: Budget = Budget()
    hours: Annotated[tuple[str, ...] | None, BeforeValidator(_hours)] = Field(
        default=None, description="local time in which this site trains, scores and counts; None is always"
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        if unknown := set(self.release) - set(RELEASABLE):
            raise ValueError(f"release names {sorted(unknown)}, expected some of {list(RELEASABLE)}")
        return self

    def lists(self, study: Study) -> bool:
        """Whether `studies` names this study or its digest."""
        return self.studies not in (ASK, ANY) and bool({study.name, study.digest()} & set(self.studies))

    def is_open(self, moment: time) -> bool:
        """Whether a local time of day lies within `hours`; a range may pass midnight, its end is outside."""
        return self.hours is None or any(_within(moment, text) for text in self.hours)


def _within(moment: time, text: str) -> bool:
    start, _, end = text.partition("-")
    now = f"{moment:%H:%M}"
    return start <= now < end if start < end else now >= start or now < end


def local_now() -> datetime:
    """Read this machine's clock, in its own time zone."""
    return datetime.now().astimezone()


class Spending(Protocol):
    """What the rules ask of client/ledger.py, which is not imported here because it loads torch."""

    def spent(self) -> dict[tuple[str, str], float]:
        """Epsilon spent so far by each (run, study digest)."""


class Rules:
    """Enforces one site's policy on every instruction, before data is read; see the top of this file.

    Raises
    ------
    PolicyError
        `approval` (nobody has approved the study; it is kept for `wardround site approve`), `study`,
        `hours`, `budget`. Each refusal is a line of the audit log.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        work: Path,
        audit: Audit,
        ledger: Spending,
        now: Callable[[], datetime] = local_now,
    ) -> None:
        self._policy = policy
        self._work = work
        self._audit = audit
        self._now = now
        self._ledger = ledger

    def check(self, study: Study, *, kind: str, run: str = "") -> None:
        """Decide about one instruction: `kind` as in shared.wire.RECORDS, `run` where it names one."""
        try:
            self._check_study(study)
            if kind in WORKING_KINDS:
                self._check_hours()
            if kind in ("enrol", "train"):
                self._check_epsilon(study, run)
        except PolicyError as refusal:
            known = refusal.code == "policy.approval" and self._approvals().is_known(study)
            if not known:  # the coordinator asks again while people decide: client/repeats.py
                self._audit.append("refused", kind=kind, code=refusal.code, study=study.digest())
            if refusal.code == "policy.approval":
                self._approvals().ask(study)
                raise AskedAgainError(refusal, study, run, known=known) from refusal
            raise

    @contextmanager
    def training(self, study: Study, *, run: str, round_number: int, inputs: str) -> Iterator[None]:
        """Count one round of training against the budget, then hold off others until the block is left.

        `inputs` is a digest of what the round starts from. A round that is repeated from the same inputs
        gives the same answer and is counted once. In the block, private training writes its ledger, so that
        two runs at once cannot both spend what is left.
        """
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._work / "budget.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                self._check_epsilon(study, run)
                counted = self._counted(study)
                if (run, round_number, inputs) not in counted:
                    self._check_updates(study, len(counted))
                    self._audit.append(
                        "training", study=study.digest(), run=run, round=round_number, inputs=inputs
                    )
            except PolicyError as refusal:
                self._audit.append("refused", kind="train", code=refusal.code, study=study.digest())
                raise
            yield

    def _check_study(self, study: Study) -> None:
        allowed = self._policy.studies
        if allowed == ANY or self._policy.lists(study):
            return
        if allowed == ASK:
            if self._approvals().approved(study.digest()):
                return
            raise PolicyError(
                "approval",
                f"nobody at this site has approved study {study.name!r} ({study.digest()[:12]}...). Read it "
                "with `wardround site explain` and allow it with `wardround site approve`.",
            )
        raise PolicyError(
            "study",
            f"policy.studies allows {list(allowed)}, the coordinator asks for {study.name!r} "
            f"({study.digest()[:12]}...). Add the name or the digest to take part.",
        )

    def _check_hours(self) -> None:
        moment = self._now().time()
        if not self._policy.is_open(moment):
            raise PolicyError(
                "hours",
                f"it is {moment:%H:%M}; policy.hours allows {', '.join(self._policy.hours or ())}. "
                "The site answers again within these hours.",
            )

    def _check_epsilon(self, study: Study, run: str) -> None:
        bound = self._policy.budget.epsilon
        if bound is None:
            return
        if study.privacy is None:
            raise PolicyError(
                "budget",
                f"policy.budget.epsilon is {bound}, so training must be differentially private; study "
                f"{study.name!r} has no privacy section. Ask the coordinator for one.",
            )
        spent = self._ledger.spent()
        spent.pop((run, study.digest()), None)  # is a part of what this study promises
        others = sum(spent.values())
        if others + study.privacy.epsilon > bound * (1 + 1e-9):
            raise PolicyError(
                "budget",
                f"study {study.name!r} promises epsilon {study.privacy.epsilon}, other runs have spent "
                f"{others:.3f}; policy.budget.epsilon is {bound}. Raise it only after asking who protects "
                "your patients' data.",
            )

    def _check_updates(self, study: Study, counted: int) -> None:
        bound = self._policy.budget.updates
        if bound is not None and counted >= bound:
            raise PolicyError(
                "budget",
                f"{counted} weight changes were trained for study {study.name!r}; policy.budget.updates is "
                f"{bound}. This site takes no further part in its training.",
            )

    def _counted(self, study: Study) -> set[tuple[str, int, str]]:
        return {
            (str(entry["run"]), int(entry["round"]), str(entry["inputs"]))
            for entry in self._audit.entries("training")
            if entry["study"] == study.digest()
        }

    def _approvals(self) -> Approvals:
        return Approvals(self._work, self._audit)
