"""Every patient tested once: a scenario run K times, each time with another part of the patients to test on.

The models of the K runs are different ones, so that what is judged is the way to a model, not one model.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import roc_auc_score

from client.worklist.run_table import write_table
from shared.errors import DataError
from shared.files import write_atomically
from shared.metrics import wilson_interval
from shared.randomness import generator
from shared.reliability import finish_reliability, reliability_sums
from simulations.scenario import Scenario
from simulations.simulate import Progress, Simulation

RESAMPLES = 2000
ALL_SITES = "all sites"
Interval = tuple[float, float]


@dataclass(frozen=True)
class CrossValidation:
    """A scenario, its folder and the number of runs."""

    scenario: Scenario
    out: Path
    folds: int
    engine: str = "inline"
    data: Path | None = None

    def run(self, *, resume: bool, progress: Progress) -> dict[str, Any]:
        """Run all folds; writes and returns the figures of all test patients together and of each site's.

        Below `out`: `fold-<k>/`, each a whole run; `cross_validation.json`; `<site>.csv`, the site's scans in
        reading order with the probabilities of the run that had not seen them.

        Raises
        ------
        DataError
            A case was tested twice, a site has no predictions at all, or no patient has a known outcome.
        """
        for fold in range(self.folds):
            simulation = Simulation(self._fold(fold), self.out / f"fold-{fold + 1}", self.engine, self.data)
            marked = (simulation.out / "scenario.yaml").exists()
            simulation.run(resume=resume and marked, progress=_named(progress, fold + 1, self.folds))
        tested = {site: self._tested(site) for site in self.scenario.names}
        for site, rows in tested.items():
            order = rows.sort_values(["probability", "case"], ascending=[False, True])
            write_table(self.out / f"{site}.csv", order)
        everybody = pd.concat(tested.values(), ignore_index=True)
        groups = {ALL_SITES: everybody, **tested}
        bins = self.scenario.study.priority.bins if self.scenario.study.priority else 10
        seed = self.scenario.study.seed
        figures = {
            "folds": self.folds,
            "resamples": RESAMPLES,
            "groups": {name: judged(rows, bins=bins, seed=seed) for name, rows in groups.items()},
        }
        with write_atomically(self.out / "cross_validation.json") as path:
            path.write_text(json.dumps(figures, indent=1), encoding="utf-8")
        return figures

    def _fold(self, fold: int) -> Scenario:
        evaluation = self.scenario.study.evaluation.model_copy(
            update={"test_fraction": 1 / self.folds, "turn": fold / self.folds}
        )
        study = self.scenario.study.model_copy(update={"evaluation": evaluation})
        return Scenario.parse(
            {**self.scenario.model_dump(mode="json"), "study": study.model_dump(mode="json")},
            f"fold {fold + 1}",
        )

    def _tested(self, site: str) -> pd.DataFrame:
        """Test rows of all folds; each case in exactly one of them."""
        parts = []
        for fold in range(1, self.folds + 1):
            path = self.out / f"fold-{fold}" / "sites" / site / "predictions.csv"
            if not path.exists():
                continue  # the site took no part in this run; counted as `runs`
            rows = pd.read_csv(path, dtype={"case": str, "patient": str})
            parts.append(rows[rows["split"] == "test"].assign(fold=fold))
        if not parts:
            raise DataError(
                f"{site} has no predictions in any fold. Look into fold-1/results.json, `events`."
            )
        tested = pd.concat(parts, ignore_index=True)
        if twice := sorted(tested.loc[tested["case"].duplicated(), "case"]):
            raise DataError(f"{site}: {len(twice)} cases were tested twice, such as {twice[0]}.")
        return tested


def judged(rows: pd.DataFrame, *, bins: int, seed: int) -> dict[str, Any]:
    """Figures of test rows, with 95 % intervals; None where they are not defined.

    Intervals of AUROC and Dice are percentiles of resampled patients (Efron 1979), those of sensitivity and
    specificity Wilson's.
    """
    known = rows[rows["urgent"].notna() & rows["probability"].notna()]
    if known.empty:
        raise DataError("no test patient has a known outcome and a probability. Is there a priority section?")
    urgent = known["urgent"].to_numpy(dtype=np.int64)
    probability = known["probability"].to_numpy(dtype=np.float64)
    resamples = _resampled(known["patient"], seed)
    found = known["finding_count"].to_numpy() > 0
    return {
        "patients": int(known["patient"].nunique()),
        "scans": len(known),
        "runs": int(rows["fold"].nunique()),
        "urgent": int(urgent.sum()),
        "without_outcome": len(rows) - len(known),
        "auroc": {
            "finding_probability": _auroc(urgent, known["finding_probability"].to_numpy(), resamples),
            "priority": _auroc(urgent, probability, resamples),
        },
        "dice": _with_interval(known["dice"].to_numpy(), resamples),
        "sensitivity": _share(found[urgent == 1]),
        "specificity": _share(~found[urgent == 0]),
        "tiers": {tier: int(count) for tier, count in known["tier"].value_counts().items()},
        "reliability": finish_reliability(reliability_sums(probability, urgent, bins=bins)),
    }


def _resampled(patient: "pd.Series[str]", seed: int) -> list[npt.NDArray[np.intp]]:
    """Row numbers of resampled patients: all scans of a patient come together."""
    rng = generator(seed, "cross-validation")
    groups = [
        np.asarray(rows)
        for rows in patient.reset_index(drop=True).groupby(patient.to_numpy()).groups.values()
    ]
    return [
        np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))])
        for _ in range(RESAMPLES)
    ]


def _auroc(
    urgent: npt.NDArray[np.int64], score: npt.NDArray[np.float64], resamples: list[npt.NDArray[np.intp]]
) -> dict[str, Any] | None:
    if urgent.min() == urgent.max():
        return None
    values = [roc_auc_score(urgent[r], score[r]) for r in resamples if 0 < urgent[r].sum() < len(r)]
    return {"value": float(roc_auc_score(urgent, score)), "interval": _interval(values)}


def _with_interval(values: npt.NDArray[np.float64], resamples: list[npt.NDArray[np.intp]]) -> dict[str, Any]:
    return {
        "value": float(values.mean()),
        "interval": _interval([float(values[r].mean()) for r in resamples]),
    }


def _share(called: npt.NDArray[np.bool_]) -> dict[str, Any] | None:
    if not len(called):
        return None
    right = int(called.sum())
    return {"value": right / len(called), "n": len(called), "interval": wilson_interval(right, len(called))}


def _interval(values: list[float]) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _named(progress: Progress, fold: int, folds: int) -> Progress:
    return lambda what, done, total: progress(f"{fold}/{folds} {what}", done, total)
