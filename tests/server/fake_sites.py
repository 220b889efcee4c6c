"""Sites in memory: a Grid without threads whose nodes answer, or misbehave, exactly as a test says."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Error, Message, RecordDict
from scipy.special import expit

from client.calibrating import Calibrating
from client.gate import Released
from client.kept import ScanRow
from client.messages import instruction_of, instructions_in, reply_to
from server.federation import Federation
from server.results import Results
from server.run import Run, RunSettings
from shared import __version__
from shared.metrics import ScanResult, segmentation_sums
from shared.study import Priority, Strategy, Study, Task, Term, Training, Urgent
from shared.sums import FloatArray, IntArray
from shared.voxel_temperature import count_voxels, voxel_sums
from shared.wire import Record, Scalar
from simulations.engine import InlineGrid

Answer = Record | RecordDict | Error | list[Record] | None
"""To one instruction; anything but a record or None is the reply to the whole message."""
Act = Callable[["FakeSite", Record], Answer]

STUDY = Study.model_validate(
    {
        "name": "fake",
        "task": Task(classes=("tumour",)),
        "model": {"channels": (2, 4), "residual_units": 0},
        "training": Training(rounds=2, window=(8, 8, 8)),
        "strategy": Strategy(quorum=2, deadline_s=0.3),
        "priority": Priority(
            urgent=Urgent(outcome="urgent"), terms=(Term(feature="a"), Term(feature="b")), ridge=1e-2
        ),
    }
)


@dataclass
class FakeSite:
    """One hospital: its rows for the priority fit, and what it does instead of the usual, by instruction."""

    name: str
    design: FloatArray
    outcome: FloatArray
    probability: FloatArray
    instead: dict[str, Act] = field(default_factory=dict)
    asked: list[Record] = field(default_factory=list)
    minimum: int = 2
    study: Study = STUDY

    @property
    def rows(self) -> list[ScanRow]:
        """Its patients as they are kept at a site."""
        features = [
            {"a": float(x[1]), "b": float(x[2]), "finding_probability": float(p)}
            for x, p in zip(self.design, self.probability, strict=True)
        ]
        return [
            ScanRow(f"{self.name}-{n}", f"{self.name}-{n}", "test", one, int(y), ())
            for n, (one, y) in enumerate(zip(features, self.outcome, strict=True))
        ]

    @property
    def patients(self) -> int:
        """How many it enrols for training."""
        return len(self.outcome)

    def answer(self, record: Record) -> Answer:
        """What goes back; None is silence."""
        self.asked.append(record)
        return self.instead.get(record.kind, usual)(self, record)


def usual(site: FakeSite, record: Record) -> Answer:
    """What a healthy site answers."""
    if record.kind == "enrol":
        return enrolment(site)
    if record.kind == "train":
        return update(site, record)
    if record.kind == "evaluate":
        return segmentation(site, record)
    if record.kind == "voxels":
        return voxel_counts(site)
    if record.kind in CALIBRATING:
        return calibrating(site, record)
    return Record("finished", {"site": site.name, "patients": site.patients, "seismometer": "off"})


def enrolment(site: FakeSite, /, **changes: Any) -> Record:
    """Join, with some fields changed."""
    fields: dict[str, Any] = {
        "site": site.name,
        "study_digest": site.study.digest(),
        "wardround": __version__,
        "train": site.patients,
        "validation": 5,
        "test": 5,
        "skipped": '{"unreadable": 2}',
        "patient_unit": "patient",
        "history_lacking": 0,
    }
    return Record("enrolment", {**fields, **changes})


def update(site: FakeSite, record: Record, /, value: float = 0.01, **changes: Any) -> Record:
    """Change every weight by `value`, with some fields changed."""
    fields: dict[str, Any] = {
        "site": site.name,
        "run": record.fields["run"],
        "round": record.fields["round"],
        "patients": site.patients,
        "loss": 0.5,
        "epsilon": -1.0,
        "delta": -1.0,
    }
    arrays = {name: np.full(w.shape, value, dtype=np.float32) for name, w in record.arrays.items()}
    return Record("update", {**fields, **changes}, arrays)


def segmentation(site: FakeSite, record: Record) -> Record:
    """Three scans: found, missed, rightly called clear."""
    scans = [
        scan(overlap=8, truth=10, called=True, score=0.9),
        scan(overlap=0, truth=6, called=False, score=0.2),
        scan(overlap=0, truth=0, called=False, score=0.1),
    ]
    sums = segmentation_sums(scans, bins=STUDY.evaluation.score_bins)
    fields = {"site": site.name, "round": record.fields["round"], "patients": 3}
    return Record("segmentation", fields, sums.to_arrays())


def voxel_counts(site: FakeSite, *, planted: float = 2.0) -> Record:
    """As many voxels as suffice, of a network that is `planted` times too sure."""
    rng = np.random.default_rng(site.patients)
    sums = voxel_sums(_voxels(rng, planted) for _ in range(site.patients))
    return Record("voxel_counts", {"site": site.name, "patients": site.patients}, sums.to_arrays())


def _voxels(rng: np.random.Generator, planted: float) -> IntArray:
    z = rng.normal(-1, 2, 400)
    label = (rng.random(400) < expit(z)).astype(np.int64)
    return count_voxels(expit(planted * z), label, finding=[1], classes=1)


def scan(*, overlap: int, truth: int, called: bool, score: float) -> ScanResult:
    """One scored scan of one class, in voxels."""
    predicted = 10 if called else 0
    return ScanResult(np.array([overlap]), np.array([predicted]), np.array([truth]), called, truth > 0, score)


CALIBRATING = ("newton", "newton_map", "held_out", "histograms", "reliability")


def calibrating(site: FakeSite, record: Record) -> Record:
    """What client.node answers, of the same patients in every split, whom the gate always lets through."""
    study = site.study
    found = Calibrating(
        study, site.rows, site.outcome, split=record.text("split"), minimum_patients=site.minimum
    )
    arrays = record.arrays
    fields: dict[str, Scalar] = {"site": site.name, "patients": site.patients}
    if record.kind == "newton":
        sums = found.derivatives(arrays["coefficients"])
        return Record("derivatives", {**fields, "judged": found.judged}, sums.to_arrays())
    text = record.text("maps" if record.kind == "held_out" else "calibration")
    if record.kind == "newton_map":
        sums = found.map_derivatives(arrays["scores"], arrays["coefficients"], text)
        return Record("derivatives", {**fields, "judged": found.judged}, sums.to_arrays())
    if record.kind == "held_out":
        return Record("held_out_losses", fields, found.losses(arrays["scores"], text).to_arrays())
    if record.kind == "histograms":
        sums, fewest = found.histograms(arrays["scores"], text)
        if fewest < site.minimum:
            return Record("failure", {"site": site.name, "code": "policy.minimum_patients", "cases": 0})
        return Record("score_histograms", fields, sums.to_arrays())
    sums = found.reliability(arrays["coefficients"], text if record.fields["calibrated"] else None)
    return Record("reliability_bins", fields, sums.to_arrays())


def failing(code: str) -> Act:
    """A site that says that it could not."""
    return lambda site, record: Record("failure", {"site": site.name, "code": code, "cases": 0})


def silent(site: FakeSite, record: Record) -> Answer:
    """Say nothing, for ever."""
    return None


def with_priority(**changes: Any) -> Study:
    """STUDY with another way to calibrate."""
    assert STUDY.priority is not None
    values = {**STUDY.priority.model_dump(), **changes}
    return STUDY.model_copy(update={"priority": Priority.parse(values, "test study")})


def hospitals(
    *names: str, seed: int = 0, study: Study = STUDY, **instead: Mapping[str, Act]
) -> list[FakeSite]:
    """Unequal sites with correlated rows; `instead` is what some of them do, by name."""
    rng = np.random.default_rng(seed)
    sites = []
    for number, name in enumerate(names):
        patients = 30 + 11 * number
        x = rng.normal(size=(patients, 2)) + 0.5 * number
        truth = 1 / (1 + np.exp(-(-1 + x @ [1.1, -0.7])))
        outcome = (rng.random(patients) < truth).astype(np.float64)
        design = np.column_stack([np.ones(patients), x])
        sites.append(FakeSite(name, design, outcome, rng.random(patients), dict(instead.get(name, {}))))
        sites[-1].study = study
    return sites


class FakeGrid(InlineGrid):
    """Computes each answer when it is pulled, at most `at_once` a pull; `repeats` sends each one twice."""

    def __init__(self, sites: Iterable[FakeSite], *, at_once: int = 100, repeats: bool = False) -> None:
        super().__init__(None, [], workers=1)  # type: ignore[arg-type]  # it has no node to run an app on
        self.sites = dict(enumerate(sites, start=1))
        self._at_once, self._repeats = at_once, repeats
        self._pending: dict[str, Message] = {}
        self.answered = 0

    def get_node_ids(self) -> Iterable[int]:
        return list(self.sites)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        ids = []
        for message in messages:
            identity = f"message-{len(self._pending)}-{id(message)}"
            message.metadata.__dict__["_message_id"] = identity
            self._pending[identity] = message
            ids.append(identity)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        found: list[Message] = []
        for identity in [i for i in message_ids if i in self._pending][: self._at_once]:
            message = self._pending.pop(identity)
            site = self.sites[message.metadata.dst_node_id]
            asked = [instruction_of(message, place) for place in range(instructions_in(message))]
            reply = _reply([site.answer(instruction) for instruction in asked], message)
            if reply is not None:
                self.answered += 1
                found += [reply] * (2 if self._repeats else 1)
        return found


def _reply(answers: list[Answer], message: Message) -> Message | None:
    for whole in answers:
        if whole is None:
            return None
        if isinstance(whole, Error):
            return Message(whole, reply_to=message)
        if isinstance(whole, RecordDict):
            return Message(whole, reply_to=message)
        if isinstance(whole, list):
            return reply_to(message, [Released(record) for record in whole])
    return reply_to(message, [Released(answer) for answer in answers if isinstance(answer, Record)])


def enrolled(sites: Iterable[FakeSite], study: Study = STUDY, **how: Any) -> Federation:
    """A federation of these sites."""
    grid = FakeGrid(sites)
    federation = Federation(grid, study)
    federation.enrol(**{"run": "run", "expected": len(grid.sites), **how})
    return federation


def run(
    sites: list[FakeSite],
    out: Path,
    *,
    study: Study = STUDY,
    resume: bool = False,
    repeats: bool = False,
    engine: str = "fake",
) -> Results:
    """A whole run over these sites."""
    settings = RunSettings(study, out, engine=engine, expected_sites=len(sites), resume=resume)
    return Run(FakeGrid(sites, repeats=repeats), settings).execute()
