"""Run `wardround` in this process, and kill it, as a power cut would, when a named phase is reached.

    python -m tests.end_to_end.killed_run "while a site trains" simulate SCENARIO --out DIR

The phases are those of round 2 of a run, and of its end.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import wardround
from client.node import Node
from server.aggregation import RunningSum, Step
from server.results import Results
from server.run import Run
from simulations import simulate
from tests.end_to_end import killed_run as this

ROUND, ROUNDS = 2, 3
SITE = "south"
round_now = 0


def strike(
    owner: Any, name: str, when: Callable[..., bool] = lambda *_: True, *, after: bool = False
) -> None:
    """Kill this process before (or after) `owner.name` runs for the first time that `when` holds."""
    inner = getattr(owner, name)

    def struck(*args: Any, **kwargs: Any) -> Any:
        if not after and when(*args):
            os.kill(os.getpid(), signal.SIGKILL)
        found = inner(*args, **kwargs)
        if after and when(*args):
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(owner, name, struck)


def in_round(*_: Any) -> bool:
    return this.round_now == ROUND


def at_site(node: Node, record: Any) -> bool:
    """The round's message at SITE: validation of the round before, and training."""
    asked_for = ROUND - 1 if record.kind == "evaluate" else ROUND
    return bool(node.site.name == SITE and record.fields["round"] == asked_for)


def last(node: Node, record: Any, *, final: bool) -> bool:
    """The message after the last round: its validation, and the final evaluation."""
    return bool(record.fields["round"] == ROUNDS and record.fields["final"] == final)


def renamed(nth: int) -> Callable[..., bool]:
    """The nth time that a checkpoint of the round is about to get its name."""
    seen = count(1)
    return lambda _, target: Path(target).name == f"round-{ROUND:04d}.safetensors" and next(seen) == nth


def status_in_round(_: Any, target: Any) -> bool:
    return Path(target).name == "status.json" and in_round()


def nth_time(nth: int) -> Callable[..., bool]:
    seen = count(1)
    return lambda *_: next(seen) == nth


PHASES: dict[str, Callable[[], None]] = {
    "before training is sent": lambda: strike(Run, "_train", lambda run, now, number: number == ROUND),
    "while a site validates the round before": lambda: strike(Node, "evaluate", at_site),
    "after a site validated, before it trains": lambda: strike(Node, "evaluate", at_site, after=True),
    "while a site trains": lambda: strike(Node, "train", at_site),
    "after a site trained, before it answers": lambda: strike(Node, "train", at_site, after=True),
    "after one site's reply was added": lambda: strike(RunningSum, "add", in_round, after=True),
    "after aggregation, before the checkpoint": lambda: strike(Step, "apply", in_round, after=True),
    "in the middle of writing the checkpoint": lambda: strike(Path, "replace", renamed(1)),
    "after the checkpoint": lambda: strike(
        Run, "_train", lambda run, now, number: number == ROUND, after=True
    ),
    "in the middle of writing status.json": lambda: strike(Path, "replace", status_in_round),
    "during the last validation": lambda: strike(Node, "evaluate", partial(last, final=False)),
    "during the final evaluation": lambda: strike(Node, "evaluate", partial(last, final=True)),
    "during calibration": lambda: strike(Node, "newton", nth_time(6)),
    "after the sites finished, before results.json": lambda: strike(Results, "write"),
    "before the report": lambda: strike(simulate, "write_report"),
}


def main(phase: str | None, arguments: Sequence[str]) -> None:
    """Run `wardround ARGUMENTS`; with a phase, the process dies there."""
    follow_rounds()
    if phase is not None:
        PHASES[phase]()
    sys.argv = ["wardround", *arguments]
    wardround.main()


def follow_rounds() -> None:
    inner = Run._train

    def train(self: Run, current: Any, round_number: int) -> Any:
        this.round_now = round_number
        return inner(self, current, round_number)

    Run._train = train  # type: ignore[method-assign]


if __name__ == "__main__":
    main(sys.argv[1] or None, sys.argv[2:])
