"""What one hospital does when the coordinator asks: one method an instruction, a record out of each.

What has to last from one message to the next is in client/kept.py.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import cast, get_args

import numpy as np

from client.audit import Audit
from client.calibrating import Calibrating
from client.data import cache
from client.data.cache import CachedCase, SiteData
from client.data.history import not_believed, told_range
from client.data.split import Split
from client.data.statistics import describe
from client.gate import Gate
from client.kept import Kept
from client.ledger import Ledger
from client.policy import Rules
from client.private_training import train_privately
from client.reports import write_site_reports
from client.scoring import Scored, score
from client.site import Site
from client.site_log import site_log
from client.training import Span, train
from shared import __version__
from shared.errors import ConfigError, DataError, WireError
from shared.metrics import segmentation_sums
from shared.model import TrainedModel, build, digest, set_weights
from shared.priority import CalibratedPriority, usable_rows
from shared.randomness import generator
from shared.study import Study
from shared.sums import Sums
from shared.voxel_temperature import VoxelTemperature
from shared.wire import Record

NOT_PRIVATE = -1.0


class Node:
    """One site's work, in its own folder."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.audit = Audit(site.work / "audit.jsonl")
        self.gate = Gate(site.policy, self.audit)
        self.log = site_log(site)
        self.ledger = Ledger(site.work / "ledger.jsonl")
        self.rules = Rules(site.policy, work=site.work, audit=self.audit, ledger=self.ledger)
        self._kept = Kept(site.work)

    def enrol(self, record: Record) -> Record:
        """Agree to a study: check the policy, prepare the data, answer with counts."""
        study = Study.parse(json.loads(record.text("study")), "the study sent by the coordinator")
        self._check_policy(study, record)
        data = cache.prepare(
            self.site.data,
            layout=self.site.layout,
            patients_csv=self.site.patients,
            study=study,
            cache_folder=self.cache_folder,
            limits=self.site.limits,
            workers=self.site.threads,
        )
        known = data.has_subject_map and data.without_row == 0
        if study.privacy is not None and not (known or self.site.one_patient_per_case):
            raise DataError(
                "private training must know which cases are one person: give `patients` in site.yaml with "
                f"a case and a patient column that name every case ({data.without_row} are not named), or "
                "state `one_patient_per_case: true`."
            )
        self._kept.keep_study(study)
        self.audit.append_once("enrolled", study=study.digest(), name=study.name, run=record.text("run"))
        self.log.info("enrolled in %s: %d cases, %d skipped", study.name, len(data.cases), len(data.skipped))
        for column, reason in data.history_lacking.items():
            self.log.warning("history: %s is missing for every patient: %s", column, reason)
        for term, count in not_believed((case.history for case in data.cases), study):
            self.log.warning("history: %s: %d values outside %s", term.name, count, told_range(term))
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
                "history_lacking": len(data.history_lacking),
            },
        )

    def train(self, record: Record) -> Record:
        """Train from the round's weights and answer with the change, as float32."""
        study = self._study(record)
        run, round_number = record.text("run"), record.integer("round")
        counted = self.rules.training(study, run=run, round_number=round_number, inputs=digest(record.arrays))
        with counted:  # before data is read; and no other run spends meanwhile
            data = self._data(record)
            cases = data.split("train")
            patients = data.patients("train")
            if not cases:
                raise DataError(f"no training case is left at {self.site.data}; see skipped.csv.")
            release = None
            if study.privacy is not None:
                release = self.ledger.open_round(
                    study=study,
                    run=run,
                    round_number=round_number,
                    patients=patients,
                    inputs=_inputs(record.arrays, cases),
                )
        span = Span.of_round(round_number, study.training.rounds)
        arrays = [(c.image(self.cache_folder), c.label(self.cache_folder)) for c in cases]
        if release is None:
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
            groups = _by_patient(cases, arrays)
            trained = train_privately(record.arrays, groups, study, span=span, release=release)
        epsilon = NOT_PRIVATE if release is None else release.epsilon
        self.log.info("round %d: loss %.4f over %d patients", round_number, trained.loss, patients)
        return Record(
            "update",
            {
                "site": self.site.name,
                "run": run,
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
        flips = study.evaluation.flips if final else ()
        counted = final and study.calibrates_voxels
        scoring = partial(
            score,
            net,
            study=study,
            cache_folder=self.cache_folder,
            flips=flips,
            measured=final,
            voxels=counted,
        )
        scored = list(scoring(cases))
        if final:
            scored_too = [*scored, *scoring(others)]
            self._kept.keep_scans(study, scored_too)
            if counted:
                self._kept.keep_voxels(study, scored_too)
            self._tell_unusable(study, scored_too)
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
        """Sum derivatives of the priority fits over the split's patients with a known outcome."""
        found = self._calibrating(record)
        return self._derivatives(found, found.derivatives(record.arrays["coefficients"]))

    def newton_map(self, record: Record) -> Record:
        """Sum derivatives of the calibration maps' fits."""
        found, arrays = self._calibrating(record), record.arrays
        sums = found.map_derivatives(arrays["scores"], arrays["coefficients"], record.text("calibration"))
        return self._derivatives(found, sums)

    def held_out(self, record: Record) -> Record:
        """Sum log losses of maps over the patients that they have not seen."""
        found = self._calibrating(record)
        sums = found.losses(record.arrays["scores"], record.text("maps"))
        return Record("held_out_losses", self._counted(found.judged), sums.to_arrays())

    def histograms(self, record: Record) -> Record:
        """Count log-odds by outcome; fewer patients of either sort than the minimum stop it at the gate."""
        sums, fewest = self._calibrating(record).histograms(
            record.arrays["scores"], record.text("calibration")
        )
        return Record("score_histograms", self._counted(fewest), sums.to_arrays())

    def reliability(self, record: Record) -> Record:
        """Bins of probability against outcome, before calibration or after."""
        found = self._calibrating(record)
        calibration = record.text("calibration") if record.fields["calibrated"] else None
        sums = found.reliability(record.arrays["coefficients"], calibration)
        return Record("reliability_bins", self._counted(found.patients), sums.to_arrays())

    def voxels(self, record: Record) -> Record:
        """Count voxels by log-odds; too few patients with voxels of either sort stop it at the gate."""
        study, split = self._study(record), _split(record)
        if not study.calibrates_voxels:
            raise ConfigError(f"study {study.name} fits no temperature of voxels; there is nothing to count.")
        found = self._kept.voxels(study, split)
        return Record("voxel_counts", self._counted(found.patients), found.sums.to_arrays())

    def describe(self, record: Record) -> Record:
        """Sum histograms of the training patients' scans, read as they lie in the data folder."""
        study, data = self._study(record), self._data(record)
        self.gate.require("statistics")  # before any scan is read
        found = describe(
            self.site.data, layout=self.site.layout, data=data, task=study.task, limits=self.site.limits
        )
        for skip in found.unread:
            self.log.warning("left out of the statistics: %s: %s", skip.reason, skip.detail)
        return Record(
            "statistics",
            {"site": self.site.name, "patients": int(found.sums["patients"]), "unread": len(found.unread)},
            found.sums.to_arrays(),
        )

    def finish(self, record: Record) -> Record:
        """Write model, worklist, predictions, overlays and seismometer's report; answer with counts."""
        study, data = self._study(record), self._data(record)
        text = record.text("calibration")
        priority = CalibratedPriority.model_validate_json(text) if text else None
        text = record.text("temperature")
        temperature = VoxelTemperature.model_validate_json(text) if text else None
        model = TrainedModel(study, dict(record.arrays), priority, temperature)
        model.save(self.site.work / "model")
        listed, seismometer = write_site_reports(
            self.site, data, self._kept.scans(study), model, cache_folder=self.cache_folder
        )
        return Record("finished", {"site": self.site.name, "patients": listed, "seismometer": seismometer})

    @property
    def cache_folder(self) -> Path:
        """Prepared scans, by content hash."""
        return self._kept.cache_folder

    def _study(self, record: Record) -> Study:
        study = self._kept.study(record.text("study_digest"))
        self._check_policy(study, record)  # it may have changed since this site enrolled
        return study

    def _check_policy(self, study: Study, record: Record) -> None:
        self.rules.check(study, kind=record.kind, run=str(record.fields.get("run", "")))

    def _tell_unusable(self, study: Study, scored: Sequence[Scored]) -> None:
        if study.priority is None:
            return
        usable = usable_rows(study.priority.terms, [one.features for one in scored])
        if left_out := [one.case.case for one, good in zip(scored, usable, strict=True) if not good]:
            self.log.warning("left out of the priority, for a value that cannot be: %s", ", ".join(left_out))

    def _calibrating(self, record: Record) -> Calibrating:
        study, split = self._study(record), record.text("split")
        if study.priority is None:
            raise ConfigError(f"study {study.name} has no priority section; nothing to calibrate.")
        rows, outcome = self._kept.outcomes(study, split)
        minimum = self.site.policy.minimum_patients
        return Calibrating(study, rows, outcome, split=split, minimum_patients=minimum)

    def _derivatives(self, found: Calibrating, sums: Sums) -> Record:
        fields = {**self._counted(found.patients), "judged": found.judged}
        return Record("derivatives", fields, sums.to_arrays())

    def _data(self, record: Record) -> SiteData:
        return self._kept.data(self._study(record))

    def _counted(self, patients: int) -> dict[str, str | int]:
        return {"site": self.site.name, "patients": patients}


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
