import math

import numpy as np
import pytest
from scipy.special import expit

from shared.errors import ConfigError
from shared.study import Priority, Study
from simulations.outcomes import TERMS, Burden
from simulations.trial.cohort import HOSPITALS, ReadScan, draw
from simulations.trial.judging import Trial

STUDY = Study.model_validate(
    {
        "name": "trial",
        "task": {"classes": ["tumour"]},
        "priority": Priority.model_validate({"urgent": {"outcome": "urgent"}, "terms": TERMS}),
    }
)


def read_scans(hospital: int, scans: int = 60) -> list[ReadScan]:
    """Scans of one hospital, read with errors: volumes are a tenth off, small tumours are missed."""
    rng = np.random.default_rng(hospital)
    found = []
    for _ in range(scans):
        ml = float(rng.gamma(2, 1.0)) if rng.random() < 0.35 + 0.08 * hospital else 0.0
        seen = ml * float(rng.normal(1, 0.1)) if ml > 0.3 else 0.0
        features = {
            "finding_probability": float(expit(rng.normal(2.5 if seen else -2.5, 0.7))),
            "volume_ml": max(seen, 0.0),
            "finding_count": float(seen > 0),
        }
        found.append(ReadScan(Burden(ml, int(ml > 0)), features))
    return found


@pytest.fixture(scope="module")
def trial() -> Trial:
    return Trial(STUDY, [read_scans(k) for k in range(len(HOSPITALS))], seed=5)


def test_five_thousand_patients_of_six_unlike_hospitals() -> None:
    assert len(HOSPITALS) == 6
    assert sum(hospital.patients for hospital in HOSPITALS) == 5000
    assert len({hospital.baseline for hospital in HOSPITALS}) == 6


def test_calibrated_probabilities_are_near_the_true_ones_and_each_site_keeps_its_sensitivity(
    trial: Trial,
) -> None:
    found = trial.calibrate(0)
    probabilities = trial.probabilities(found.priority)
    tenths = [tenth for tenth in trial.tenths(probabilities) if tenth.patients >= 100]
    assert len(tenths) >= 6
    assert max(abs(tenth.calibrated - tenth.true) for tenth in tenths) < 0.03
    default = trial.sensitivities(found, probabilities, "urgent", pooled=False)
    pooled = trial.sensitivities(found, probabilities, "urgent", pooled=True)
    assert min(default.values()) >= 0.95
    assert min(pooled.values()) < 0.95  # the hospitals are unlike: one bound for all fails one of them


def test_the_same_draw_is_the_same_and_another_is_another(trial: Trial) -> None:
    first, again, other = (trial.calibrate(k).priority for k in (1, 1, 2))
    assert first == again
    assert first.coefficients != other.coefficients


def test_urgent_patients_are_as_many_as_the_truth_says() -> None:
    patients = draw(HOSPITALS[0], read_scans(0), 4000, split="test", rng=np.random.default_rng(1))
    urgent = sum(row.outcome or 0 for row in patients.rows)
    spread = math.sqrt(float(np.sum(patients.truth * (1 - patients.truth))))
    assert abs(urgent - patients.truth.sum()) < 4 * spread


def test_a_study_without_a_priority_is_refused() -> None:
    study = STUDY.model_copy(update={"priority": None})
    with pytest.raises(ConfigError, match="no priority section"):
        Trial(study, [read_scans(k) for k in range(6)], seed=1)
