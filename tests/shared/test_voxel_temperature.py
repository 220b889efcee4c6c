import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from shared.errors import CaseError, FederationError
from shared.sums import FloatArray, IntArray, Sums
from shared.voxel_temperature import fit_temperature, voxel_temperature_sums

Patient = tuple[FloatArray, IntArray]


def patient(seed: int, shape: tuple[int, ...], temperature: float = 1.7, classes: int = 3) -> Patient:
    """Probabilities (classes, ...) that are `temperature` times too sure, labels drawn from the true ones."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.5, (classes, *shape))
    true = np.exp(z) / np.exp(z).sum(axis=0)
    label = (rng.random(shape) > np.cumsum(true, axis=0)).sum(axis=0).clip(0, classes - 1)
    sure = np.exp(z * temperature)
    return sure / sure.sum(axis=0), label


PATIENTS = [patient(0, (8, 9, 4)), patient(1, (20, 20, 6)), patient(2, (5, 5, 5))]


def pooled_loss(a: float) -> float:
    """Mean over each patient's voxels of the log loss, by a loop over voxels."""
    total = 0.0
    for p, label in PATIENTS:
        powers = p**a
        q = powers / powers.sum(axis=0)
        total += float(np.mean([-np.log(q[(label[at], *at)]) for at in np.ndindex(label.shape)]))
    return total


def gather(a: FloatArray) -> Sums:
    return Sums.total(voxel_temperature_sums(p, label, a) for p, label in PATIENTS)


def test_the_sums_are_the_loss_of_a_loop_and_its_differences() -> None:
    a, step = np.array([0.8]), 1e-5
    sums = gather(a)
    assert sums["patients"] == 3
    assert sums["loss"] == pytest.approx(pooled_loss(0.8), abs=1e-10)
    slope = (gather(a + step)["loss"] - gather(a - step)["loss"]) / (2 * step)
    assert sums["gradient"][0] == pytest.approx(slope, abs=1e-8)
    bend = (gather(a + step)["gradient"] - gather(a - step)["gradient"]) / (2 * step)
    assert sums["hessian"][0, 0] == pytest.approx(bend[0], abs=1e-8)


def test_the_temperature_is_the_pooled_optimum_and_undoes_what_was_done() -> None:
    found = fit_temperature(gather)
    best = minimize_scalar(pooled_loss, bounds=(0.1, 3), method="bounded", options={"xatol": 1e-10})
    assert 1 / found == pytest.approx(best.x, abs=1e-6)
    large = [patient(seed, (30, 30, 10)) for seed in range(3)]
    found = fit_temperature(lambda a: Sums.total(voxel_temperature_sums(*one, a) for one in large))
    assert found == pytest.approx(1.7, abs=0.05)


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gather(np.array([1.3]))
    monkeypatch.setattr("shared.voxel_temperature.AT_ONCE", 7)
    parts = gather(np.array([1.3]))
    assert all(parts[name] == pytest.approx(whole[name], abs=1e-10) for name in whole.values)


def test_unlabelled_voxels_are_left_out_and_a_patient_without_others_counts_nothing() -> None:
    p, label = PATIENTS[0]
    some = label.copy()
    some[0] = 255
    a = np.array([1.1])
    found, alone = (
        voxel_temperature_sums(p[:, rows], y[rows], a)
        for rows, y in ((slice(None), some), (slice(1, None), label))
    )
    assert all(found[name] == pytest.approx(alone[name], abs=1e-12) for name in alone.values)
    nothing = voxel_temperature_sums(p, np.full(label.shape, 255), a)
    assert not any(array.any() for array in nothing.values.values())


def test_certain_probabilities_are_finite() -> None:
    sums = voxel_temperature_sums(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1, 1]), np.array([1.0]))
    assert np.isfinite(sums["loss"])


def test_unusable_input_is_refused() -> None:
    p, label = PATIENTS[0]
    with pytest.raises(CaseError, match="grid"):
        voxel_temperature_sums(p, label[1:], np.ones(1))
    wrong = (label + 1) % 3
    with pytest.raises(FederationError, match="no temperature"):
        fit_temperature(lambda a: voxel_temperature_sums(p, wrong, a))
