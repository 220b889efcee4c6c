"""One federated run from enrolment to results.json, resumable after a kill at any moment.

Phases: enrol; for each round validate the model of the round before and train it, aggregate, checkpoint;
validate the last model and evaluate it on the test patients; priority calibration; export; finish at the
sites. Validation and training share one exchange, since they start from the same weights, and one checkpoint.
A killed run repeats at most the phase it was in.
"""

import platform
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flwr.serverapp import Grid

from server.board import Board
from server.calibration import Calibrated, calibrate
from server.checkpoint import Checkpoint, load_newest
from server.evaluation import Evaluation
from server.federation import Federation, Question
from server.progress import report
from server.report import write_report
from server.results import Comparison, Results, Round, SiteRound
from server.training import Training
from server.voxels import VoxelCounts
from shared import __version__
from shared.errors import CheckpointError, FederationError
from shared.model import TrainedModel, Weights, initial_weights
from shared.study import Study
from shared.voxel_temperature import VoxelTemperature
from shared.wire import Record

DEPLOYED = "deploy"
COMPONENTS = ("flwr", "monai", "torch", "numpy", "opacus", "seismometer")


@dataclass(frozen=True)
class RunSettings:
    """What the coordinator decides about a run besides the study."""

    study: Study
    out: Path
    engine: str
    expected_sites: int
    name: str = field(default_factory=partial(secrets.token_hex, 8))
    """What sites write down the run as: its name at the coordinator, or one by chance where it has none."""
    resume: bool = False
    start: Weights | None = None
    names: Mapping[int, str] | None = None
    """Enrolled site of each of Flower's node ids; nobody else is asked. None: whoever connects may join."""
    enrol_wait_s: float | None = None
    """How long to wait for sites and their approvals; None is the study's deadline."""
    grace_s: float = 0.0
    """How long of that to wait for sites that are not connected, once the others suffice."""

    @property
    def status(self) -> Path:
        """Where the run's live state is kept."""
        return self.out / "status.json"


class Run:
    """State of one run; `execute` does everything."""

    def __init__(self, grid: Grid, settings: RunSettings) -> None:
        self._settings = settings
        self._study = settings.study
        self._board = Board(settings.status)
        self._federation = Federation(grid, settings.study, self._board)
        self._checkpoints = settings.out / "checkpoints"
        self._started = time.monotonic()
        self._earlier_events: list[dict[str, Any]] = []

    def execute(self) -> Results:
        """Run to the end and write results.json and model/; raises FederationError when it cannot go on."""
        try:
            results = self._execute()
        except Exception as error:
            self._board.fail(error)
            raise
        self._board.enter("done")
        return results

    def _execute(self) -> Results:
        settings, rounds = self._settings, self._study.training.rounds
        current = self._begin()
        self._board.begin(rounds=rounds, done=current.round, resume=settings.resume)
        self._earlier_events = list(current.history["events"])
        report("enrolling sites", 0, 1)
        self._federation.enrol(
            run=current.history["run"],
            expected=settings.expected_sites,
            wait_s=settings.enrol_wait_s,
            grace_s=settings.grace_s,
            names=settings.names,
        )
        report("enrolling sites", 1, 1)
        for round_number in range(current.round + 1, rounds + 1):
            report("rounds", round_number - 1, rounds)
            current = self._train(current, round_number)
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
            "run": self._settings.name,
            "rounds": [],
            "epsilon": {},
            "events": [],
            "seconds": 0.0,
        }
        checkpoint = Checkpoint(0, start, {}, history)
        checkpoint.save(self._checkpoints)
        return checkpoint

    def _train(self, current: Checkpoint, round_number: int) -> Checkpoint:
        """One exchange: every site validates the model of the round before and trains it further."""
        started = time.monotonic()
        federation, history = self._federation, current.history
        self._board.enter("training", round_number)
        validation = self._validation(current)
        training = Training(federation, current.weights, run=history["run"], round_number=round_number)
        questions = [validation.question, training.question] if current.round else [training.question]
        for answer in federation.ask(federation.to_all(*questions)):
            validation.add(answer)
            training.add(answer)
            report(f"round {round_number}: sites", len(training.outcomes), len(federation.seats))
        weights, state = training.step(current.state)
        entry = {
            "round": round_number,
            "seconds": time.monotonic() - started,
            "sites": {site: vars(training.outcomes[site]) for site in sorted(training.outcomes)},
            "validation": None,
        }
        after = {
            **history,
            "rounds": [*_validated(history["rounds"], validation), entry],
            "epsilon": {**history["epsilon"], **training.epsilon},
            "events": self._events(),
        }
        checkpoint = Checkpoint(round_number, weights, state, self._timed(after))
        checkpoint.save(self._checkpoints)
        return checkpoint

    def _validation(self, current: Checkpoint) -> Evaluation:
        return Evaluation(
            self._federation, current.weights, round_number=current.round, split="validation", final=False
        )

    def _conclude(self, current: Checkpoint) -> Results:
        study, federation = self._study, self._federation
        self._board.enter("evaluation")
        report("final evaluation", 0, 1)
        validation = self._validation(current)
        final = Evaluation(federation, current.weights, round_number=current.round, split="test", final=True)
        voxels = VoxelCounts(federation)
        questions = [validation.question, final.question, *voxels.questions]
        for answer in federation.ask(federation.to_all(*questions)):
            validation.add(answer)
            final.add(answer)
            voxels.add(answer)
        report("final evaluation", 1, 1)
        calibrated = self._calibrate() if study.priority is not None else None
        priority = calibrated.priority if calibrated else None
        temperature, voxel_figures = voxels.fitted()
        TrainedModel(study, current.weights, priority, temperature).save(self._settings.out / "model")
        self._finish(current, calibrated, temperature)
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
                "rounds": [_round(entry) for entry in _validated(current.history["rounds"], validation)],
                "evaluation": Comparison(federated=final.judged()),
                "calibration": calibrated.figures if calibrated else None,
                "voxels": voxel_figures,
                "events": self._events(),
            }
        )
        results.write(self._settings.out / "results.json")
        if self._settings.engine == DEPLOYED:  # a simulation writes its own, with what only it can know
            write_report(results, self._settings.out / "report.html")
        return results

    def _calibrate(self) -> Calibrated | None:
        priority = self._study.priority
        if priority is None:
            return None
        self._board.enter("calibration")
        report("calibrating the priority", 0, 1)
        try:
            return calibrate(self._federation, priority)
        except FederationError as error:
            # The model stands without a reading order; the events say which site refused what.
            self._federation.note("calibration", "all", "failed", error.code)
            return None
        finally:
            report("calibrating the priority", 1, 1)

    def _finish(
        self, current: Checkpoint, calibrated: Calibrated | None, temperature: VoxelTemperature | None
    ) -> None:
        """Each site gets what it needs of the calibration: no other's intercept, no other's bounds."""
        federation, digest = self._federation, self._study.digest()
        map_text = "" if temperature is None else temperature.model_dump_json()
        asked = {}
        for node, seat in federation.seats.items():
            text = "" if calibrated is None else calibrated.priority.at_site(seat.site).model_dump_json()
            fields = {"study_digest": digest, "calibration": text, "temperature": map_text}
            record = Record("finish", fields, current.weights)
            asked[node] = [Question("finish", record, "finished")]
        self._board.enter("finish")
        answers = federation.ask(asked)
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


def _validated(rounds: Sequence[dict[str, Any]], validation: Evaluation) -> list[dict[str, Any]]:
    """Give the rounds so far what the model of the last of them scored."""
    judged = validation.judged()
    if judged is None or not rounds:
        return list(rounds)
    *earlier, last = rounds
    return [*earlier, {**last, "validation": judged.model_dump(mode="json", include={"pooled", "sites"})}]


def _round(entry: Mapping[str, Any]) -> Round:
    sites = {site: SiteRound.model_validate(outcome) for site, outcome in entry["sites"].items()}
    return Round.model_validate({**entry, "sites": sites})
