"""Lets a run stop at a named moment for as long as a test likes, so that a kill there is no matter of luck.

Imported by the fork server of `tests.end_to_end.held_coordinator`. A moment is armed by a file of its name in
the folder $WARDROUND_HOLD; a run that reaches it renames the file to ``NAME.reached`` and waits to be killed.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from server.aggregation import RunningSum, Step
from server.board import Board
from server.calibration.score import _Fitting
from server.enrolment import Enrolment
from server.evaluation import Evaluation
from server.messages import Mailbox
from server.results import Results
from server.run import Run

FOLDER = "WARDROUND_HOLD"


def hold(moment: str) -> None:
    """Wait for ever if `moment` is armed; the first time only."""
    armed = Path(os.environ[FOLDER]) / moment
    if armed.exists():
        os.replace(armed, reached(armed))  # noqa: PTH105 - Path.replace is one of the moments
        while True:
            signal.pause()


def reached(armed: Path) -> Path:
    return armed.with_name(f"{armed.name}.reached")


def at(owner: Any, name: str, when: Callable[..., bool] = lambda *_: True, *, before: bool = False) -> Any:
    """Hold after (or before) `owner.name` runs for the first time that `when` is true."""

    def install(moment: str) -> None:
        inner = getattr(owner, name)

        def held(*args: Any, **kwargs: Any) -> Any:
            if before and when(*args):
                hold(moment)
            found = inner(*args, **kwargs)
            if not before and when(*args):
                hold(moment)
            return found

        setattr(owner, name, held)

    return install


def asks_to_train(_: Mailbox, instructions: Any) -> bool:
    return any(record.kind == "train" for records in instructions.values() for record in records)


MOMENTS: dict[str, Callable[[str], None]] = {
    "one site is enrolled": at(Enrolment, "_seat"),
    "between two rounds": at(Run, "_train"),
    "waiting for a round's answers": at(Mailbox, "send", asks_to_train),
    "one answer is added": at(RunningSum, "add"),
    "aggregated and not yet saved": at(Step, "apply"),
    "writing the checkpoint": at(
        Path, "replace", lambda _, to: Path(to).name.startswith("round-"), before=True
    ),
    "final evaluation": at(Evaluation, "add", lambda self, _: self.question.phase == "evaluation"),
    "calibration": at(_Fitting, "gather", lambda _, coefficients: coefficients.any()),
    "the sites have finished": at(Results, "write", before=True),
    "done and not yet told": at(Board, "enter", lambda _, phase, *__: phase == "done"),
}
"""In the order in which a run comes by when it goes on after each."""

if FOLDER in os.environ:
    for _moment, _install in MOMENTS.items():
        _install(_moment)
