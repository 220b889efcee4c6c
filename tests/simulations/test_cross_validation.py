import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from shared.errors import DataError
from simulations.cross_validation import CrossValidation, judged
from simulations.scenario import Scenario

TINY = Path(__file__).parents[1] / "end_to_end" / "tiny.yaml"
QUICK = ("study.training.rounds=1", "workers=2")


def rows(urgent: list[float], probability: list[float], **columns: Sequence[object]) -> pd.DataFrame:
    n = len(urgent)
    filled = {
        "case": [f"c{i}" for i in range(n)],
        "patient": [f"p{i}" for i in range(n)],
        "tier": ["routine"] * n,
        "finding_probability": [0.5] * n,
        "finding_count": [1.0] * n,
        "dice": [0.5] * n,
        "fold": [1] * n,
        "urgent": urgent,
        "probability": probability,
    }
    return pd.DataFrame({**filled, **columns})


def test_every_patient_is_tested_once_by_a_model_that_had_not_seen_it(tmp_path: Path) -> None:
    scenario = Scenario.read(TINY, QUICK)
    found = CrossValidation(scenario, tmp_path, folds=2).run(resume=False, progress=lambda *_: None)
    assert found["groups"]["all sites"]["patients"] == 40 + 36 + 32 + 28
    assert {name: group["runs"] for name, group in found["groups"].items()} == dict.fromkeys(
        ["all sites", "east", "north", "south", "west"], 2
    )
    assert json.loads((tmp_path / "cross_validation.json").read_text(encoding="utf-8")) == json.loads(
        json.dumps(found)
    )
    order = pd.read_csv(tmp_path / "north.csv")
    assert order["case"].is_unique
    assert order["probability"].is_monotonic_decreasing
    for fold in (1, 2):  # who is tested in one run trains or validates in the other
        enrolled = json.loads((tmp_path / f"fold-{fold}" / "results.json").read_text(encoding="utf-8"))
        assert enrolled["sites"]["north"]["patients"]["test"] == int((order["fold"] == fold).sum())


def test_figures_are_those_of_the_rows_and_intervals_hold_them() -> None:
    rng = np.random.default_rng(3)
    urgent = rng.integers(0, 2, 200).astype(float)
    score = np.clip(rng.normal(0.4 + 0.2 * urgent, 0.2), 0, 1)
    found = judged(rows(urgent.tolist(), score.tolist()), bins=10, seed=1)
    exact = roc_auc_score(urgent, score)
    assert found["auroc"]["priority"]["value"] == pytest.approx(exact)
    low, high = found["auroc"]["priority"]["interval"]
    assert low < exact < high
    assert high - low == pytest.approx(4 * 0.035, rel=0.3)  # Hanley and McNeil's standard error here is 0.035
    assert found["auroc"]["finding_probability"]["value"] == 0.5
    assert found["sensitivity"]["value"] == 1.0
    assert found["specificity"]["value"] == 0.0


def test_scans_of_one_patient_are_resampled_together() -> None:
    urgent, score = [1.0, 1.0, 0.0, 0.0] * 10, [0.9, 0.8, 0.2, 0.3] * 10
    dice = [0.1, 0.9] * 20
    alone = judged(rows(urgent, score, dice=dice), bins=10, seed=1)
    groups = [f"p{i // 2}" for i in range(40)]
    together = judged(rows(urgent, score, dice=dice, patient=groups), bins=10, seed=1)
    assert together["dice"]["interval"] == pytest.approx([0.5, 0.5])  # every pair has the mean
    assert alone["dice"]["interval"][1] - alone["dice"]["interval"][0] > 0.1
    assert together["patients"] == 20


def test_without_any_outcome_it_says_so() -> None:
    with pytest.raises(DataError, match="no test patient has a known outcome"):
        judged(rows([float("nan")], [0.5]), bins=10, seed=1)
