"""What a trial looks at: calibration against the true probability, and sensitivity at every site."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from client.calibrating import Calibrating, calibrated
from server.calibration import Calibrated, calibrate
from shared.errors import ConfigError
from shared.priority import CalibratedPriority, design_matrix
from shared.randomness import generator
from shared.study import Priority, Study
from shared.sums import FloatArray
from simulations.trial.cohort import HOSPITALS, Hospital, Patients, ReadScan, draw
from simulations.trial.in_memory import InMemory, RowsSite, calibrating

MINIMUM_PATIENTS = 10
TENTHS = 10
SMALLEST_TENTH = 100
FRESH = 4000
"""Further patients of each hospital: they tell a site's true sensitivity to about half a percent."""


@dataclass(frozen=True)
class Tenth:
    """Patients whose calibrated probability lies in one tenth, and the two means."""

    lower: float
    patients: int
    calibrated: float
    true: float


class Trial:
    """Hospitals whose scans have been read; patients are drawn and the priority calibrated as often as asked.

    `fresh` patients are seen by no fit and judge all of them.
    """

    def __init__(self, study: Study, scans: Sequence[Sequence[ReadScan]], *, seed: int) -> None:
        if study.priority is None:
            raise ConfigError(f"study {study.name} has no priority section. Give a phantom study's model.")
        self.priority: Priority = study.priority
        self._study, self._seed = study, seed
        self._scans = dict(zip(HOSPITALS, scans, strict=True))
        self.fresh = {h.name: self._draw(h, FRESH, "test", "fresh") for h in HOSPITALS}
        self._judging = {site: self._calibrating(patients, "test") for site, patients in self.fresh.items()}
        self._designs = {
            site: design_matrix(self.priority.terms, [row.features for row in patients.rows])
            for site, patients in self.fresh.items()
        }

    def calibrate(self, repetition: int) -> Calibrated:
        """Draw all patients anew and calibrate on them by the server's own code."""
        sites = []
        for hospital in HOSPITALS:
            patients = self._draw(hospital, hospital.patients, "validation", repetition)
            splits = {
                "validation": self._calibrating(patients, "validation"),
                "test": self._judging[hospital.name],
            }
            sites.append(RowsSite(hospital.name, splits, MINIMUM_PATIENTS))
        return calibrate(InMemory(self._study, sites), self.priority)

    def probabilities(self, priority: CalibratedPriority) -> dict[str, FloatArray]:
        """Calibrated probabilities of each hospital's fresh patients."""
        text = priority.recalibration.model_dump_json()
        return {
            site: 1 / (1 + np.exp(-calibrated(design @ priority.coefficients_at(site), text)))
            for site, design in self._designs.items()
        }

    def tenths(self, probabilities: Mapping[str, FloatArray]) -> list[Tenth]:
        """Mean calibrated and mean true probability, by tenth of the calibrated one."""
        weights = {hospital.name: hospital.patients / FRESH for hospital in HOSPITALS}
        probability = np.concatenate(list(probabilities.values()))
        truth = np.concatenate([self.fresh[site].truth for site in probabilities])
        weight = np.concatenate([np.full(FRESH, weights[site]) for site in probabilities])
        tenth = np.minimum((probability * TENTHS).astype(int), TENTHS - 1)
        return [
            Tenth(
                k / TENTHS,
                round(float(weight[own].sum())),
                float(np.average(probability[own], weights=weight[own])),
                float(np.average(truth[own], weights=weight[own])),
            )
            for k in range(TENTHS)
            if (own := tenth == k).any()
        ]

    def sensitivities(
        self, found: Calibrated, probabilities: Mapping[str, FloatArray], tier: str, *, pooled: bool
    ) -> dict[str, float]:
        """Share of each hospital's urgent fresh patients that reach a tier's bound."""
        shares = {}
        for site, probability in probabilities.items():
            bound = getattr(found.priority.tiers_at(site), tier)
            if pooled:
                bound = found.figures.sites[site].pooled_tiers[tier].threshold
            urgent = np.array([row.outcome for row in self.fresh[site].rows]) == 1
            shares[site] = float((probability[urgent] >= bound).mean())
        return shares

    def _draw(self, hospital: Hospital, patients: int, split: str, draw_number: int | str) -> Patients:
        rng = generator(self._seed, "trial", hospital.name, draw_number)
        return draw(hospital, self._scans[hospital], patients, split=split, rng=rng)

    def _calibrating(self, patients: Patients, split: str) -> Calibrating:
        return calibrating(self._study, patients.rows, split=split, minimum_patients=MINIMUM_PATIENTS)
