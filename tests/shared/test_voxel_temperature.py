from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit

from shared.errors import CaseError, FederationError
from shared.histograms import WHOLE
from shared.reliability import finish_reliability, reliability_sums
from shared.sums import FloatArray, IntArray, Sums
from shared.voxel_temperature import (
    BINS,
    EDGES,
    LARGEST,
    MIDDLES,
    VoxelTemperature,
    count_voxels,
    fit,
    judge,
    log_odds,
    patients_of,
    voxel_shapes,
    voxel_sums,
    worsens_findings,
)

Patient = tuple[FloatArray, IntArray]
PLANTED = 1.7
STUDY = "0" * 64


def patient(seed: int, shape: tuple[int, ...], *, planted: float = PLANTED) -> Patient:
    """Probabilities (X, Y, Z) that are `planted` times too sure, labels 0 or 1 drawn from the true ones."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-1.5, 2, shape)
    label = (rng.random(shape) < expit(z)).astype(np.int64)
    return expit(planted * z), label


def counted(patients: Sequence[Patient]) -> Sums:
    return voxel_sums(count_voxels(p, label, finding=[1], classes=1) for p, label in patients)


def temperature(value: float) -> VoxelTemperature:
    return VoxelTemperature(temperature=value, patients=1, study=STUDY)


def test_counts_are_those_of_a_loop_over_voxels() -> None:
    rng = np.random.default_rng(0)
    p = rng.random((4, 5, 6)).astype(np.float32)
    p[0, 0, :4] = 0, 1, 0.5, 1.0000001
    label = rng.choice([0, 1, 2, 255], (4, 5, 6)).astype(np.uint8)
    found = count_voxels(p, label, finding=[2], classes=2)
    slow = np.zeros((2, BINS), np.int64)
    for place in np.ndindex(p.shape):
        if label[place] == 255:
            continue
        q = float(p[place])
        z = -LARGEST if q <= 0 else LARGEST if q >= 1 else float(np.log(q / (1 - q)))
        (k,) = np.flatnonzero((EDGES[:-1] <= z) & ((z < EDGES[1:]) | (EDGES[1:] == LARGEST)))[:1]
        slow[int(label[place] == 2), k] += 1
    np.testing.assert_array_equal(found, slow)
    assert found.sum() == np.count_nonzero(label != 255)


def test_a_planted_temperature_is_found_again_and_taken_back() -> None:
    patients = [patient(seed, (30, 30, 20)) for seed in range(4)]
    found = fit(counted(patients), study=STUDY)
    assert found.temperature == pytest.approx(PLANTED, abs=0.03)
    assert found.patients == 4
    p, _ = patient(9, (10, 10, 10))
    true, _ = patient(9, (10, 10, 10), planted=1.0)
    np.testing.assert_allclose(temperature(PLANTED).of(p), true, atol=1e-6)
    before, after = judge(counted(patients)), judge(counted(patients), found.temperature)
    assert before["ece"] > 0.05
    assert after["ece"] < 0.005
    assert after["log_loss"] < before["log_loss"]
    assert before["called_probability"] > before["called_observed"] + 0.05
    assert after["called_probability"] == pytest.approx(after["called_observed"], abs=0.01)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.4, 4))
def test_the_exact_fit_to_the_voxels_lies_within_the_bounds(seed: int, planted: float) -> None:
    patients = [patient(seed + k, (5 + 3 * k, 12, 10), planted=planted) for k in range(3)]
    found = fit(counted(patients), study=STUDY)

    def slope(a: float) -> float:
        """Of the mean over patients of the mean log loss over voxels, by every voxel's own log-odds."""
        total = 0.0
        for p, label in patients:
            margin = np.where(label == 1, 1, -1) * np.clip(np.log(p / (1 - p)), -LARGEST, LARGEST)
            total -= float(np.mean(margin * expit(-a * margin)))
        return total

    exact = 1 / brentq(slope, 1e-3, 1e3)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= exact <= found.high
    assert found.temperature == pytest.approx(exact, rel=0.01)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_pooled_is_federated_however_patients_are_grouped(sites: list[int]) -> None:
    patients = [patient(seed, (6, 5 + seed, 4)) for seed in range(6)]
    groups = [[p for p, site in zip(patients, sites, strict=True) if site == k] for k in range(4)]
    total = Sums.total(counted(group) for group in reversed(groups) if group)
    pooled = counted(patients)
    assert all((total[name] == pooled[name]).all() for name in voxel_shapes())
    assert fit(total, study=STUDY) == fit(pooled, study=STUDY)
    assert judge(total, 2.0) == judge(pooled, 2.0)


def test_a_patient_counts_the_same_whatever_the_number_of_voxels() -> None:
    (small, y), other = patient(0, (5, 5, 4)), patient(1, (20, 20, 10))
    sums = counted([(small, y), other])
    assert patients_of(sums) == 2
    assert sums["other"].sum() + sums["finding"].sum() == 2 * WHOLE
    twice = np.concatenate([small, small]), np.concatenate([y, y])
    alike = counted([twice, other])
    assert all((alike[name] == sums[name]).all() for name in voxel_shapes())
    assert {name: array.shape for name, array in sums.values.items()} == voxel_shapes()


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    p, label = patient(3, (7, 6, 5))
    whole, shown = count_voxels(p, label, finding=[1], classes=1), temperature(2.0).of(p)
    monkeypatch.setattr("shared.voxel_temperature.AT_ONCE", 7)
    np.testing.assert_array_equal(count_voxels(p, label, finding=[1], classes=1), whole)
    np.testing.assert_array_equal(temperature(2.0).of(p), shown)


def test_a_patient_without_a_labelled_voxel_counts_nothing() -> None:
    p, label = patient(0, (4, 4, 4))
    nothing = counted([(p, np.full(label.shape, 255))])
    assert patients_of(nothing) == 0
    assert set(judge(nothing).values()) == {0, None}
    with pytest.raises(FederationError, match="no patients"):
        fit(nothing, study=STUDY)


@pytest.mark.parametrize("by", [1.0, 0.6, 2.5])
def test_the_figures_are_those_of_the_voxels_where_bins_cost_nothing(by: float) -> None:
    rng = np.random.default_rng(4)
    z = rng.choice(MIDDLES, 1000)  # 1000 voxels: each counts 1000 of a million
    label = (rng.random(1000) < expit(0.5 * z)).astype(np.int64)
    found = judge(counted([(expit(z), label)]), by)
    p = expit(z / by)
    rows = finish_reliability(reliability_sums(p, label, bins=10))
    assert found["ece"] == pytest.approx(rows["ece"], abs=1e-9)
    assert found["log_loss"] == pytest.approx(rows["log_loss"], abs=1e-9)
    assert found["called"] == pytest.approx(np.mean(z > 0))
    assert found["called_probability"] == pytest.approx(p[z > 0].mean())
    assert found["called_observed"] == pytest.approx(label[z > 0].mean())
    called = finish_reliability(reliability_sums(p[z > 0], label[z > 0], bins=10))
    assert found["called_log_loss"] == pytest.approx(called["log_loss"], abs=1e-9)


def test_what_serves_the_background_and_worsens_findings_is_told() -> None:
    sure = counted([patient(0, (20, 20, 10))])
    assert not worsens_findings(sure, fit(sure, study=STUDY).temperature)
    rng = np.random.default_rng(1)
    timid, bold = rng.uniform(-3, -1, 50_000), rng.normal(1.5, 0.5, 500)
    label = np.concatenate([np.zeros(50_000), rng.random(500) < 0.4]).astype(np.int64)
    both = counted([(expit(np.concatenate([timid, bold])), label)])
    found = fit(both, study=STUDY)
    assert found.temperature < 1
    assert judge(both, found.temperature)["log_loss"] < judge(both)["log_loss"]
    assert worsens_findings(both, found.temperature)
    nothing_called = counted([(expit(timid), np.zeros(50_000, np.int64))])
    assert not worsens_findings(nothing_called, 0.5)


@settings(deadline=None, max_examples=60)
@given(st.floats(0.05, 20), st.lists(st.floats(0, 1, width=32), min_size=2, max_size=20))
def test_no_voxel_passes_one_half_and_none_passes_another(by: float, values: list[float]) -> None:
    p = np.array(sorted(values), np.float32)
    shown = temperature(by).of(p)
    assert np.isfinite(shown).all()
    assert ((shown >= 0) & (shown <= 1)).all()
    assert (np.diff(shown) >= 0).all()
    assert (shown[p > 0.5] >= 0.5).all()
    assert (shown[p < 0.5] <= 0.5).all()


def test_log_odds_pass_no_bound_even_where_a_probability_is_off_by_a_rounding() -> None:
    found = log_odds(np.array([-1e-9, 0.0, 0.5, 1.0, 1.0000001], np.float32))
    assert found.tolist() == pytest.approx([-LARGEST, -LARGEST, 0, LARGEST, LARGEST])
    assert np.abs(found).max() <= LARGEST


def test_unusable_input_is_refused() -> None:
    p, label = patient(0, (6, 6, 6))
    with pytest.raises(CaseError, match="grid"):
        count_voxels(p, label[1:], finding=[1], classes=1)
    with pytest.raises(FederationError, match="no temperature"):
        fit(counted([(p, 1 - label)]), study=STUDY)
