"""What a site gains: from its own scans, and from a simulation around it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from client.web.gain import Score, _mean, gain
from tests.client.hospital import site_at, tiny_study

STUDY = tiny_study()


def test_the_interval_is_about_that_of_drawing_patients_again() -> None:
    rng = np.random.default_rng(3)
    own = np.clip(rng.normal(0.7, 0.15, 60), 0, 1)
    tested = [(f"p{n}", float(own[n])) for n in range(60) for _ in range(1 + n % 3)]
    found = _mean(tested)
    by_patient = [[dice for patient, dice in tested if patient == f"p{n}"] for n in range(60)]
    means = [np.mean(np.concatenate([by_patient[n] for n in rng.integers(0, 60, 60)])) for _ in range(4000)]
    assert found.dice == pytest.approx(np.mean([dice for _, dice in tested]))
    low, high = np.quantile(means, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.006)
    assert found.high == pytest.approx(high, abs=0.006)
    assert (found.scans, found.patients) == (120, 60)


def test_one_patient_has_no_interval() -> None:
    assert _mean([("p", 0.5), ("p", 0.7)]) == Score(0.6, 2, patients=1)


def test_a_scan_without_a_dice_is_left_out_and_nothing_is_known_before_a_run(tmp_path: Path) -> None:
    site = site_at(tmp_path / "data", tmp_path / "work")
    assert gain(site, STUDY) is None
    path = site.work / "studies" / f"{STUDY.digest()}.scans.json"
    path.parent.mkdir(parents=True)
    rows = [{"patient": str(n), "split": "test", "dice": [0.5 if n else math.nan]} for n in range(3)]
    path.write_text(json.dumps(rows))
    found = gain(site, STUDY)
    assert found is not None
    assert (found.joint.scans, found.alone) == (2, None)


def test_a_simulation_of_the_same_study_tells_how_the_site_alone_would_do(tmp_path: Path) -> None:
    site = site_at(tmp_path / "data", tmp_path / "sites" / "north")
    path = site.work / "studies" / f"{STUDY.digest()}.scans.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps([{"patient": "p", "split": "test", "dice": [0.8]}]))

    def simulated(study: object) -> None:
        judged = {"local_only": {"north": {"own": {"dice": 0.6, "scans": 1}}}, "pooled_training": None}
        values = {"study": study, "evaluation": judged}
        (tmp_path / "results.json").write_text(json.dumps(values))

    simulated(STUDY.model_dump(mode="json"))
    found = gain(site, STUDY)
    assert found is not None
    assert (found.alone, found.pooled) == (Score(0.6, 1), None)
    for other in (tiny_study(seed=9).model_dump(mode="json"), "damaged"):
        simulated(other)
        found = gain(site, STUDY)
        assert found is not None
        assert found.alone is None
