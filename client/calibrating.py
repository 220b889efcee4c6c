"""A site's part in fitting and judging the priority: sums over its patients with a known outcome.

A patient of the fit is scored only by the fit that left out his or her fold (shared/folds.py). At a site that
is too small for folds everybody is in every fit, and nobody is scored: such a site judges nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from client.kept import ScanRow
from shared.calibration import logistic_sums_many
from shared.choosing import held_out_sums
from shared.errors import ConfigError, WireError
from shared.folds import NO_FOLD, folds_of
from shared.isotonic import class_counts
from shared.priority import design_matrix, usable_rows
from shared.recalibration import FITS_A_FOLD, Recalibration, map_sums
from shared.reliability import reliability_sums
from shared.study import Study
from shared.sums import FloatArray, IntArray, Sums

FIT_SPLIT = "validation"


@dataclass(frozen=True)
class Scored:
    """Scans that may be judged: raw log-odds (n,) of a fit that saw none of them, outcome and fold (n,)."""

    rows: Sequence[ScanRow]
    raw: FloatArray
    outcome: FloatArray
    fold: IntArray


class Calibrating:
    """One split's scans with a known outcome, as the instructions of the priority fit see them.

    Scans whose features the score cannot take are left out.
    """

    def __init__(
        self, study: Study, rows: Sequence[ScanRow], outcome: FloatArray, *, split: str, minimum_patients: int
    ) -> None:
        if study.priority is None:
            raise ConfigError(f"study {study.name} has no priority section; nothing to calibrate.")
        self._priority = study.priority
        terms, self._minimum = study.priority.terms, minimum_patients
        usable = np.array(usable_rows(terms, [row.features for row in rows]), dtype=bool)
        self.rows = [row for row, good in zip(rows, usable, strict=True) if good]
        self._outcome = outcome[usable]
        self._design = design_matrix(terms, [row.features for row in self.rows])
        self._is_fitted_on = split == FIT_SPLIT
        self._fold = np.full(len(self.rows), NO_FOLD)
        if self._is_fitted_on:
            self._fold = folds_of(
                [row.patient for row in self.rows],
                folds=study.priority.folds,
                salt=f"{study.evaluation.split_salt}\0{study.seed}",
                minimum_patients=minimum_patients,
            )

    @property
    def patients(self) -> int:
        """Different patients."""
        return patients_in(self.rows)

    @property
    def judged(self) -> int:
        """Those of the patients who are in a fold, and can be scored by a fit that has not seen them."""
        return patients_in([row for row, k in zip(self.rows, self._fold, strict=True) if k != NO_FOLD])

    def derivatives(self, coefficients: FloatArray) -> Sums:
        """Sum the derivatives of the score's fits at `coefficients` (fits, 1+D); fit j leaves out fold j."""
        return logistic_sums_many(self._design, self._outcome, coefficients, fold=self._fold)

    def map_derivatives(self, scores: FloatArray, coefficients: FloatArray, calibration: str) -> Sums:
        """Sum the derivatives of the maps' fits, (FITS_A_FOLD * fits, 4) on `calibrated` log-odds.

        Without a fold to leave out, the rows of `coefficients` are any number of fits to everybody.
        """
        found = self.scored(scores)
        fits = len(coefficients) // FITS_A_FOLD if self._is_fitted_on else len(coefficients)
        log_odds = calibrated(found.raw, calibration)
        return map_sums(log_odds, found.outcome, coefficients, fold=found.fold, fits=fits)

    def losses(self, scores: FloatArray, maps: str) -> Sums:
        """Sum the log loss of maps where they were fitted without one's fold: JSON, by fold and then kind."""
        found = self.scored(scores)
        by_fold = [{kind: _map(one) for kind, one in fold.items()} for fold in _read(maps)]
        kinds = list(by_fold[0])
        return held_out_sums(found.raw, found.outcome, fold=found.fold, maps=by_fold, kinds=kinds)

    def histograms(self, scores: FloatArray, calibration: str) -> tuple[Sums, int]:
        """Count `calibrated` log-odds by outcome, with the patients of the rarer outcome of those there are.

        The rows (fits, BINS) leave out one fold each, the last nobody. Where a fold holds fewer patients of
        an outcome than may be released, all rows but the last are 0: their difference to it would tell.
        """
        found = self.scored(scores)
        counts = class_counts(
            calibrated(found.raw, calibration), found.outcome, fold=found.fold, fits=len(scores)
        ).to_arrays()
        classes = [found.outcome == 1, found.outcome == 0]
        fewest = min((patients_in(_chosen(found.rows, rows)) for rows in classes if rows.any()), default=0)
        folds = range(len(scores) - 1)
        smallest = [
            patients_in(_chosen(found.rows, rows & (found.fold == k))) for k in folds for rows in classes
        ]
        if smallest and min(smallest) < self._minimum:
            counts = {name: np.vstack([0 * rows[:-1], rows[-1:]]) for name, rows in counts.items()}
        return Sums(counts), fewest

    def reliability(self, coefficients: FloatArray, calibration: str | None) -> Sums:
        """Bins of probability against outcome: of the calibrated score, or with None of the network's own."""
        if calibration is None:
            probability = np.array([row.features["finding_probability"] for row in self.rows])
        else:
            probability = expit(calibrated(self._design @ coefficients, calibration))
        return reliability_sums(probability, self._outcome, bins=self._priority.bins)

    def scored(self, scores: FloatArray) -> Scored:
        """Score by `scores` (fits, 1+D): in the split that is fitted by the fit without one's fold.

        In another split nobody was seen by any fit, and the last one scores everybody.
        """
        if scores.ndim != 2 or scores.shape[1] != self._design.shape[1]:
            raise WireError(f"scores are {scores.shape}, expected (fits, {self._design.shape[1]})")
        if not self._is_fitted_on:
            return Scored(self.rows, self._design @ scores[-1], self._outcome, self._fold)
        if len(scores) != self._priority.folds + 1:
            raise WireError(f"found {len(scores)} fits, expected {self._priority.folds} folds and one of all")
        own = self._fold != NO_FOLD
        fold = self._fold[own]
        raw = np.einsum("nd,nd->n", self._design[own], scores[fold])
        return Scored(_chosen(self.rows, own), raw, self._outcome[own], fold)


def calibrated(raw: FloatArray, calibration: str) -> FloatArray:
    """Raw log-odds (n,) through a map as it crosses the wire; empty text is none."""
    return _map(_read(calibration)).log_odds(raw) if calibration else raw


def patients_in(rows: Sequence[ScanRow]) -> int:
    """Different patients of some scans."""
    return len({row.patient for row in rows})


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise WireError(f"the calibration sent by the coordinator is no JSON: {error}") from error


def _map(values: object) -> Recalibration:
    return Recalibration.parse(values, "the calibration sent by the coordinator")


def _chosen(rows: Sequence[ScanRow], which: np.ndarray) -> list[ScanRow]:
    return [row for row, chosen in zip(rows, which, strict=True) if chosen]
