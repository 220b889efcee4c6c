"""What one hospital does when the coordinator asks: one method an instruction, a record out of each.

Nothing is kept in memory between messages, because Flower may start a new process for each: the prepared
data, the study and the scans' features lie in the site's own work folder.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

import numpy as np
from scipy.special import expit

from client.audit import Audit
from client.data import cache
from client.data.cache import CachedCase, SiteData
from client.data.split import Split
from client.gate import Gate
from client.ledger import Ledger
from client.private_training import train_privately
from client.reports import write_site_reports
from client.scoring import score
from client.site import Site
from client.training import Span, train
from shared import __version__
from shared.calibration import logistic_sums, with_site_intercept
from shared.errors import ConfigError, DataError, PolicyError, WireError
from shared.files import write_atomically
from shared.metrics import segmentation_sums
from shared.model import TrainedModel, build, digest, set_weights
from shared.priority import CalibratedPriority, design_matrix
from shared.randomness import generator
from shared.reliability import reliability_sums
from shared.study import Priority, Study
from shared.wire import Record

NOT_PRIVATE = -1.0


@dataclass(frozen=True)
class ScanRow:
    """One scored scan as it is kept at the site between messages."""

    case: str
    patient: str
    split: str
    features: dict[str, float]
    outcome: int | None
    dice: tuple[float, ...]


class Node:
    """One site's work, in its own folder."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.audit = Audit(site.work / "audit.jsonl")
        self.gate = Gate(site.policy, self.audit)
        self.log = _site_log(site)

    def enrol(self, record: Record) -> Record:
        """Agree to a study: check the policy, prepare the data, answer with counts."""
        study = Study.parse(json.loads(record.text("study")), "the study sent by the coordinator")
        self._check_policy(study)
        data = cache.prepare(
            self.site.data,
            layout=self.site.layout,
            patients_csv=self.site.patients,
            study=study,
            cache_folder=self.cache_folder,
        )
        known = data.has_subject_map and data.without_row == 0
        if study.privacy is not None and not (known or self.site.one_patient_per_case):
            raise DataError(
                "private training must know which cases are one person: give `patients` in site.yaml with "
                f"a case and a patient column that name every case ({data.without_row} are not named), or "
                "state `one_patient_per_case: true`."
            )
        with write_atomically(self._study_path(study.digest())) as path:
            path.write_text(study.to_yaml(), encoding="utf-8")
        self.audit.append("enrolled", study=study.digest(), run=record.text("run"))
        self.log.info("enrolled in %s: %d cases, %d skipped", study.name, len(data.cases), len(data.skipped))
        return Record(
            "enrolment",
            {
                "site": self.site.name,
                "study_digest": study.digest(),
                "wardround": __version__,
                "train": data.patients("train"),
                "validation": data.patients("validation"),
                "test": data.patients("test"),
                "skipped": json.dumps(Counter(s.reason for s in data.skipped), sort_keys=True),
                "patient_unit": "patient" if data.has_subject_map else "case",
            },
        )

    def train(self, record: Record) -> Record:
        """Train from the round's weights and answer with the change, as float32."""
        study, data = self._study(record), self._data(record)
        cases = data.split("train")
        patients = data.patients("train")
        if not cases:
            raise DataError(f"no training case is left at {self.site.data}; see skipped.csv.")
        round_number = record.integer("round")
        span = Span.of_round(round_number, study.training.rounds)
        arrays = [(c.image(self.cache_folder), c.label(self.cache_folder)) for c in cases]
        epsilon = NOT_PRIVATE
        if study.privacy is None:
            trained = train(
                record.arrays,
                arrays,
                study,
                epochs=study.training.local_epochs,
                span=span,
                rng=generator(study.seed, self.site.name, round_number),
                device=self.site.device,
            )
        else:
            release = Ledger(self.site.work / "ledger.jsonl").open_round(
                study=study,
                run=record.text("run"),
                round_number=round_number,
                patients=patients,
                inputs=_inputs(record.arrays, cases),
            )
            groups = _by_patient(cases, arrays)
            trained = train_privately(record.arrays, groups, study, span=span, release=release)
            epsilon = release.epsilon
        self.log.info("round %d: loss %.4f over %d patients", round_number, trained.loss, patients)
        return Record(
            "update",
            {
                "site": self.site.name,
                "round": round_number,
                "patients": patients,
                "loss": trained.loss if study.privacy is None else 0.0,  # a loss is not covered by the noise
                "epsilon": epsilon,
                "delta": NOT_PRIVATE if study.privacy is None else study.privacy.delta,
            },
            {name: trained.weights[name] - start for name, start in record.arrays.items()},
        )

    def evaluate(self, record: Record) -> Record:
        """Score a split; the final evaluation also keeps each scan's features for the priority fit."""
        study, data = self._study(record), self._data(record)
        split = _split(record)
        final = bool(record.fields["final"])
        cases = data.split(split)
        if not final and study.evaluation.round_cases is not None:
            cases = sorted(cases, key=lambda c: c.key)[: study.evaluation.round_cases]
        others = data.split("validation") if final and split != "validation" else []
        net = build(study)
        set_weights(net, record.arrays)
        net.eval().to(self.site.device)
        scored = list(score(net, cases, study, cache_folder=self.cache_folder))
        if final:
            kept = [*scored, *score(net, others, study, cache_folder=self.cache_folder)]
            self._keep(
                study,
                [
                    ScanRow(
                        case=s.case.case,
                        patient=s.case.patient,
                        split=s.case.split,
                        features=s.features,
                        outcome=s.case.outcome,
                        dice=s.dice,
                    )
                    for s in kept
                ],
            )
        results = [s.result for s in scored]
        return Record(
            "segmentation",
            {
                "site": self.site.name,
                "round": record.integer("round"),
                "patients": len({c.patient for c in cases}),
            },
            segmentation_sums(results, bins=study.evaluation.score_bins).to_arrays(),
        )

    def newton(self, record: Record) -> Record:
        """Sum derivatives of the priority fit over the split's patients with a known outcome."""
        study, priority = self._priority(record)
        rows, outcome = self._outcomes(study, record.text("split"))
        design = design_matrix(priority.terms, [r.features for r in rows])
        if priority.site_intercept:
            design = with_site_intercept(
                design, site_index=record.integer("site_index"), sites=record.integer("sites")
            )
        sums = logistic_sums(design, outcome, record.arrays["coefficients"])
        return Record("derivatives", self._counted(rows), sums.to_arrays())

    def reliability(self, record: Record) -> Record:
        """Bins of probability against outcome, before calibration or after."""
        study, priority = self._priority(record)
        rows, outcome = self._outcomes(study, record.text("split"))
        if record.fields["calibrated"]:
            design = design_matrix(priority.terms, [r.features for r in rows])
            probability = expit(design @ record.arrays["coefficients"])
        else:
            probability = np.array([r.features["finding_probability"] for r in rows])
        sums = reliability_sums(probability, outcome, bins=priority.bins)
        return Record("reliability_bins", self._counted(rows), sums.to_arrays())

    def finish(self, record: Record) -> Record:
        """Write model, worklist, predictions, overlays and seismometer's report; answer with counts."""
        study, data = self._study(record), self._data(record)
        text = record.text("calibration")
        priority = CalibratedPriority.model_validate_json(text) if text else None
        model = TrainedModel(study, dict(record.arrays), priority)
        model.save(self.site.work / "model")
        listed, seismometer = write_site_reports(
            self.site, data, self._rows(study), model, cache_folder=self.cache_folder
        )
        return Record("finished", {"site": self.site.name, "patients": listed, "seismometer": seismometer})

    @property
    def cache_folder(self) -> Path:
        """Prepared scans, by content hash."""
        return self.site.work / "cache"

    def _study_path(self, study_digest: str) -> Path:
        return self.site.work / "studies" / f"{study_digest}.yaml"

    def _study(self, record: Record) -> Study:
        path = self._study_path(record.text("study_digest"))
        if not path.exists():
            raise ConfigError(f"this site has not enrolled in study {path.stem[:12]}...; enrol first.")
        study = Study.load(path)
        self._check_policy(study)  # it may have changed since this site enrolled
        return study

    def _check_policy(self, study: Study) -> None:
        allowed = self.site.policy.studies
        if allowed is not None and study.name not in allowed:
            raise PolicyError(
                "study", f"policy.studies allows {list(allowed)}, the coordinator asks for {study.name!r}."
            )

    def _priority(self, record: Record) -> tuple[Study, Priority]:
        study = self._study(record)
        if study.priority is None:
            raise ConfigError(f"study {study.name} has no priority section; nothing to calibrate.")
        return study, study.priority

    def _data(self, record: Record) -> SiteData:
        return cache.load(self.cache_folder, self._study(record))

    def _scans_path(self, study: Study) -> Path:
        return self._study_path(study.digest()).with_suffix(".scans.json")

    def _keep(self, study: Study, rows: Sequence[ScanRow]) -> None:
        with write_atomically(self._scans_path(study)) as path:
            path.write_text(json.dumps([vars(r) for r in rows]), encoding="utf-8")

    def _rows(self, study: Study) -> list[ScanRow]:
        path = self._scans_path(study)
        if not path.exists():
            raise DataError(f"{path} does not exist: the final evaluation has not run at this site.")
        return [
            ScanRow(**{**r, "dice": tuple(r["dice"])}) for r in json.loads(path.read_text(encoding="utf-8"))
        ]

    def _outcomes(self, study: Study, split: str) -> tuple[list[ScanRow], np.ndarray]:
        rows = [r for r in self._rows(study) if r.split == split and r.outcome is not None]
        return rows, np.array([r.outcome for r in rows], dtype=np.float64)

    def _counted(self, rows: Sequence[ScanRow]) -> dict[str, str | int]:
        return {"site": self.site.name, "patients": len({r.patient for r in rows})}


def _split(record: Record) -> Split:
    split = record.text("split")
    if split not in get_args(Split):
        raise WireError(f"{record.kind}.split is {split!r}, expected one of {list(get_args(Split))}")
    return cast("Split", split)


def _inputs(weights: Mapping[str, np.ndarray], cases: Sequence[CachedCase]) -> str:
    """Digest of all that a round of private training depends on; equal only for the same release."""
    scans = sorted((case.patient, case.case, case.key) for case in cases)
    return hashlib.sha256(json.dumps([digest(weights), scans]).encode()).hexdigest()


def _by_patient(
    cases: Sequence[CachedCase], arrays: Sequence[tuple[np.ndarray, np.ndarray]]
) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    groups: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for case, pair in zip(cases, arrays, strict=True):
        groups.setdefault(case.patient, []).append(pair)
    return [groups[patient] for patient in sorted(groups)]


def _site_log(site: Site) -> logging.Logger:
    log = logging.getLogger(f"wardround.site.{site.name}")
    path = site.work / "site.log"
    if not any(getattr(h, "baseFilename", None) == str(path.absolute()) for h in log.handlers):
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        for old in list(log.handlers):
            log.removeHandler(old)
            old.close()
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False  # patient paths must not reach a shared log
    return log
