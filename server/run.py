"""One federated run from enrolment to results.json, resumable after a kill at any moment.

Phases: enrol; for each round train, aggregate, checkpoint, validate, checkpoint; final evaluation on the test
patients; priority calibration; export; finish at the sites. A killed run repeats at most the phase it was in.
"""

import platform
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flwr.serverapp import Grid

from server.admission import Accepted, Refused, admit
from server.aggregation import RunningSum, Step
from server.calibration import Calibrated, calibrate
from server.checkpoint import Checkpoint, load_newest
from server.evaluation import evaluate
from server.federation import Federation
from server.progress import report
from server.results import Comparison, Results, Round, SiteRound
from server.rounds import Outcome, require_quorum
from shared import __version__
from shared.errors import CheckpointError, FederationError
from shared.model import TrainedModel, Weights, initial_weights
from shared.study import Study
from shared.wire import Record

COMPONENTS = ("flwr", "monai", "torch", "numpy", "opacus", "seismometer")


@dataclass(frozen=True)
class RunSettings:
    """What the coordinator decides about a run besides the study."""

    study: Study
    out: Path
    engine: str
    expected_sites: int
    resume: bool = False
    start: Weights | None = None


class Run:
    """State of one run; `execute` does everything."""

    def __init__(self, grid: Grid, settings: RunSettings) -> None:
        self._settings = settings
        self._study = settings.study
        self._federation = Federation(grid, settings.study)
        self._checkpoints = settings.out / "checkpoints"
        self._started = time.monotonic()
        self._earlier_events: list[dict[str, Any]] = []

    def execute(self) -> Results:
        """Run to the end and write results.json and model/; raises FederationError when it cannot go on."""
        current = self._begin()
        self._earlier_events = list(current.history["events"])
        rounds = self._study.training.rounds
        report("enrolling sites", 0, 1)
        self._federation.enrol(run=current.history["run"], expected=self._settings.expected_sites)
        report("enrolling sites", 1, 1)
        if current.round and not current.history["rounds"][-1].get("validated"):
            current = self._validate(current)
        for round_number in range(current.round + 1, rounds + 1):
            report("rounds", round_number - 1, rounds)
            current = self._validate(self._train(current, round_number))
        report("rounds", rounds, rounds)
        return self._conclude(current)

    def _begin(self) -> Checkpoint:
        digest = self._study.digest()
        found = load_newest(self._checkpoints, study_digest=digest) if self._settings.resume else None
        if found is not None:
            if found.round > self._study.training.rounds:
                raise CheckpointError(f"the checkpoint is of round {found.round}, the study has fewer.")
            return found
        for old in self._checkpoints.glob("round-*.safetensors"):
            old.unlink()  # a fresh run must not resume from an older one later
        start = self._settings.start or initial_weights(self._study)
        history = {
            "study_digest": digest,
            "run": secrets.token_hex(8),
            "rounds": [],
            "epsilon": {},
            "events": [],
            "seconds": 0.0,
        }
        checkpoint = Checkpoint(0, start, {}, history)
        checkpoint.save(self._checkpoints)
        return checkpoint

    def _train(self, current: Checkpoint, round_number: int) -> Checkpoint:
        started = time.monotonic()
        study, federation = self._study, self._federation
        record = Record(
            "train",
            {"run": current.history["run"], "study_digest": study.digest(), "round": round_number},
            current.weights,
        )
        total = RunningSum(current.weights)
        outcomes: dict[str, Outcome] = {}
        epsilon = dict(current.history["epsilon"])
        answers = federation.ask(
            "training", federation.to_all(record), answer_kind="update", round_number=round_number
        )
        for answer in answers:
            site, outcome = answer.seat.site, answer.outcome
            if answer.record is not None:
                verdict = admit(
                    answer.record,
                    site=site,
                    round_number=round_number,
                    weights=current.weights,
                    enrolled_patients=answer.seat.patients.train,
                    max_norm=study.strategy.max_update_norm,
                    privacy=study.privacy,
                )
                if isinstance(verdict, Accepted) and not total.add(answer.record.arrays, verdict.patients):
                    verdict = Refused("overflow")
                if isinstance(verdict, Refused):
                    outcome = federation.refuse("training", answer, verdict.reason, round_number)
                elif study.privacy is not None:
                    epsilon[site] = answer.record.fields["epsilon"]
            outcomes[site] = outcome
            report(f"round {round_number}: sites", len(outcomes), len(federation.seats))
        require_quorum(
            outcomes,
            round_number=round_number,
            quorum=study.strategy.quorum,
            trained_before=round_number > 1,
        )
        step = Step(study.strategy, current.state)
        weights = step.apply(current.weights, total.mean())
        entry = {
            "round": round_number,
            "seconds": time.monotonic() - started,
            "sites": {site: vars(outcomes[site]) for site in sorted(outcomes)},
            "validation": None,
        }
        history = {
            **current.history,
            "rounds": [*current.history["rounds"], entry],
            "epsilon": epsilon,
            "events": self._events(),
        }
        after = Checkpoint(round_number, weights, step.state, self._timed(history))
        after.save(self._checkpoints)
        return after

    def _validate(self, current: Checkpoint) -> Checkpoint:
        judged = evaluate(
            self._federation, current.weights, round_number=current.round, split="validation", final=False
        )
        *earlier, last = current.history["rounds"]
        found = None if judged is None else judged.model_dump(mode="json", include={"pooled", "sites"})
        entry = {**last, "validation": found, "validated": True}
        history = {**current.history, "rounds": [*earlier, entry], "events": self._events()}
        after = Checkpoint(current.round, current.weights, current.state, self._timed(history))
        after.save(self._checkpoints)
        return after

    def _conclude(self, current: Checkpoint) -> Results:
        study, federation = self._study, self._federation
        report("final evaluation", 0, 1)
        judged = evaluate(federation, current.weights, round_number=current.round, split="test", final=True)
        report("final evaluation", 1, 1)
        calibrated = self._calibrate() if study.priority is not None else None
        priority = calibrated.priority if calibrated else None
        TrainedModel(study, current.weights, priority).save(self._settings.out / "model")
        self._finish(current, calibrated)
        results = Results.model_validate(
            {
                "schema": "wardround.results/1",
                "study": study.model_dump(mode="json"),
                "engine": self._settings.engine,
                "seed": study.seed,
                "versions": versions(),
                "seconds": self._timed(current.history)["seconds"],
                "sites": {
                    seat.site: seat.entry(study, current.history["epsilon"].get(seat.site))
                    for seat in sorted(federation.seats.values(), key=lambda s: s.site)
                },
                "rounds": [_round(entry) for entry in current.history["rounds"]],
                "evaluation": Comparison(federated=judged),
                "calibration": calibrated.figures if calibrated else None,
                "events": self._events(),
            }
        )
        results.write(self._settings.out / "results.json")
        return results

    def _calibrate(self) -> Calibrated | None:
        priority = self._study.priority
        if priority is None:
            return None
        report("calibrating the priority", 0, 1)
        try:
            return calibrate(self._federation, priority)
        except FederationError as error:
            # The model stands without a reading order; the events say which site refused what.
            self._federation.note("calibration", "all", "failed", error.code)
            return None
        finally:
            report("calibrating the priority", 1, 1)

    def _finish(self, current: Checkpoint, calibrated: Calibrated | None) -> None:
        text = "" if calibrated is None else calibrated.priority.model_dump_json()
        record = Record(
            "finish", {"study_digest": self._study.digest(), "calibration": text}, current.weights
        )
        federation = self._federation
        answers = federation.ask("finish", federation.to_all(record), answer_kind="finished")
        for done, answer in enumerate(answers, start=1):
            report("worklists and reports at the sites", done, len(federation.seats))
            if answer.record is not None and answer.record.text("seismometer").startswith("failed"):
                federation.note("seismometer", answer.seat.site, "failed", answer.record.text("seismometer"))

    def _events(self) -> list[dict[str, Any]]:
        """Everything not used, in this process and before a kill."""
        return [*self._earlier_events, *(e.model_dump(mode="json") for e in self._federation.events)]

    def _timed(self, history: Mapping[str, Any]) -> dict[str, Any]:
        now = time.monotonic()
        seconds = history["seconds"] + now - self._started
        self._started = now
        return {**history, "seconds": seconds}


def versions() -> dict[str, str]:
    """Versions of what decides a run's numbers."""
    return {"wardround": __version__, "python": platform.python_version()} | {
        n: version(n) for n in COMPONENTS
    }


def _round(entry: Mapping[str, Any]) -> Round:
    kept = {k: v for k, v in entry.items() if k != "validated"}
    kept["sites"] = {site: SiteRound.model_validate(o) for site, o in entry["sites"].items()}
    return Round.model_validate(kept)
