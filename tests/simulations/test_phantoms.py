"""Phantom hospitals: reproducible, correctly oriented, different from each other, with a known truth."""

import csv
import json
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.linear_model import LogisticRegression

from shared.errors import ConfigError
from simulations.anatomy import SHIFTS, SiteShift, draw_scan, draw_tumour_radii_mm
from simulations.outcomes import (
    HISTORY_COLUMNS,
    TERMS,
    TRUE_COEFFICIENTS,
    Burden,
    draw_history,
    draw_urgent,
    measure_burden,
    recorded,
    true_features,
    true_probability,
)
from simulations.phantoms import PhantomSite, draw_case, site_shift, write_dataset, write_site
from simulations.random_volumes import draw_random_site, random_labelled_volume
from simulations.shapes import Grid, coverage, ellipsoid, smooth_noise

SMALL = (16, 16, 12)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def hospital_c(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "hospital-c"
    write_site(folder, PhantomSite(patients=12, shift=SHIFTS[2]), seed=3, site_index=2)
    return folder


def test_the_same_seed_writes_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    site = PhantomSite(patients=4, shape=SMALL)
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        write_site(tmp_path / name, site, seed=seed, site_index=0)
    assert _files(tmp_path / "first") == _files(tmp_path / "again")
    assert _files(tmp_path / "first") != _files(tmp_path / "other")


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    site = PhantomSite(patients=5, shape=SMALL)
    write_site(tmp_path / "one", site, seed=1, site_index=0)
    write_site(tmp_path / "two", site, seed=1, site_index=0, workers=2)
    assert _files(tmp_path / "one") == _files(tmp_path / "two")


def test_adding_patients_leaves_the_earlier_ones_as_they_were(tmp_path: Path) -> None:
    write_site(tmp_path / "few", PhantomSite(patients=3, shape=SMALL), seed=1, site_index=0)
    write_site(tmp_path / "more", PhantomSite(patients=6, shape=SMALL), seed=1, site_index=0)
    few, more = _files(tmp_path / "few"), _files(tmp_path / "more")
    scans = [name for name in few if name.endswith(".nii.gz")]
    assert len(scans) == 6
    assert all(few[name] == more[name] for name in scans)
    for table in ("patients.csv", "truth.csv"):
        assert _rows(tmp_path / "more" / table)[:3] == _rows(tmp_path / "few" / table)


def test_a_site_is_written_in_decathlon_layout_with_its_tables(hospital_c: Path) -> None:
    listing = json.loads((hospital_c / "dataset.json").read_text())
    assert listing["numTraining"] == len(listing["training"]) == 12
    assert all(
        (hospital_c / pair[key]).is_file() for pair in listing["training"] for key in ("image", "label")
    )
    patients, truth = _rows(hospital_c / "patients.csv"), _rows(hospital_c / "truth.csv")
    assert list(patients[0]) == ["patient", "case", *HISTORY_COLUMNS, "urgent"]
    assert list(truth[0]) == ["case", "true_probability", "tumour_ml", "tumour_count"]
    stems = [Path(pair["image"]).name.removesuffix(".nii.gz") for pair in listing["training"]]
    assert [row["case"] for row in patients] == [row["case"] for row in truth] == stems
    assert {p.name for p in hospital_c.iterdir()} == {
        "imagesTr", "labelsTr", "dataset.json", "patients.csv", "truth.csv",
    }  # fmt: skip


def test_files_are_integer_nifti_whose_affine_leads_back_to_what_was_drawn(hospital_c: Path) -> None:
    shift = SHIFTS[2]
    origins = set()
    for row in _rows(hospital_c / "truth.csv"):
        image = nib.load(hospital_c / "imagesTr" / f"{row['case']}.nii.gz")
        label = nib.load(hospital_c / "labelsTr" / f"{row['case']}.nii.gz")
        assert (image.get_data_dtype(), label.get_data_dtype()) == (np.int16, np.uint8)
        assert "".join(nib.aff2axcodes(image.affine)) == shift.orientation
        assert np.array_equal(image.affine, label.affine)
        straight = nib.as_closest_canonical(label)
        assert straight.shape == (32, 32, 24)
        assert straight.header.get_zooms() == pytest.approx(shift.spacing_mm)
        origins.add(tuple(straight.affine[:3, 3]))
        burden = measure_burden(np.asarray(straight.dataobj), shift.spacing_mm)
        assert burden.tumour_ml == pytest.approx(float(row["tumour_ml"]), abs=1e-6)
        assert burden.tumour_count == int(row["tumour_count"])
    assert len(origins) == 12


def test_orientation_changes_the_storage_and_not_the_patient() -> None:
    def in_ras(orientation: str) -> tuple[np.ndarray, np.ndarray]:
        shift = SiteShift.parse({"spacing_mm": [1.0, 1.5, 2.0], "orientation": orientation}, "test")
        case = draw_case(
            PhantomSite(patients=1, shift=shift, shape=SMALL), seed=5, site_index=0, case_index=0
        )
        straight = nib.as_closest_canonical(nib.Nifti1Image(case.image, case.affine))
        return np.asarray(straight.dataobj), straight.affine

    voxels, affine = in_ras("RAS")
    for orientation in ("LPS", "PIR", "ASL"):
        other_voxels, other_affine = in_ras(orientation)
        assert np.array_equal(voxels, other_voxels)
        assert other_affine == pytest.approx(affine)


def test_prevalence_is_what_was_asked_and_tumour_free_scans_exist() -> None:
    for prevalence in (0.0, 0.3, 0.7, 1.0):
        rng = np.random.default_rng(0)
        share = np.mean([draw_tumour_radii_mm(rng, prevalence).size > 0 for _ in range(1000)])
        assert share == pytest.approx(prevalence, abs=3 * math.sqrt(prevalence * (1 - prevalence) / 1000))
    site = PhantomSite(patients=1, shift=SiteShift(prevalence=0.5))
    counts = [draw_case(site, seed=0, site_index=0, case_index=i).truth["tumour_count"] for i in range(60)]
    assert 15 <= sum(count == "0" for count in counts) <= 45
    assert len(set(counts)) >= 3  # none, one and several; large tumours leave no room for four


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), size=st.tuples(*[st.integers(12, 28)] * 3))
def test_any_scan_is_finite_labelled_0_or_1_and_as_large_as_its_field_of_view(
    seed: int, size: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(seed)
    shift = draw_random_site(rng)
    scan = draw_scan(rng, shift, size)
    assert scan.image.shape == scan.label.shape == (*size[:2], round(size[2] * shift.field_of_view))
    assert np.isfinite(scan.image).all()
    assert scan.label.dtype == np.uint8
    assert set(np.unique(scan.label)) <= {0, 1}


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_a_scan_that_should_hold_a_tumour_holds_at_least_one_labelled_voxel(seed: int) -> None:
    shift = draw_random_site(np.random.default_rng(seed)).model_copy(update={"prevalence": 1.0})
    assert draw_scan(np.random.default_rng(seed), shift, SMALL).label.any()


def _tumour_contrast(shift: SiteShift) -> float:
    """Mean difference between a tumour and its neighbourhood, in units of the body's spread."""
    differences = []
    for i in range(30):
        scan = draw_scan(np.random.default_rng((1, i)), shift, (32, 32, 24))
        near = ndimage.binary_dilation(scan.label > 0, iterations=3)
        around = near & ~ndimage.binary_dilation(scan.label > 0)
        if scan.label.any():
            spread = scan.image[near | (scan.image > np.median(scan.image))].std()
            differences.append(
                (np.median(scan.image[scan.label > 0]) - np.median(scan.image[around])) / spread
            )
    return float(np.mean(differences))


def test_the_four_hospitals_differ_in_what_hurts_a_network() -> None:
    contrasts = [_tumour_contrast(shift) for shift in SHIFTS]
    assert min(contrasts) > 0.5
    assert max(contrasts) > 1.2 * min(contrasts)
    dark = SHIFTS[0].model_copy(update={"tumour_contrast": -1.0})
    assert _tumour_contrast(dark) < -0.5
    assert len({shift.name for shift in SHIFTS}) == 4
    for key in ("intensity_scale", "noise", "spacing_mm", "prevalence", "orientation"):
        assert len({getattr(shift, key) for shift in SHIFTS}) == 4


def test_a_dataset_is_one_folder_a_hospital_and_reports_its_progress(tmp_path: Path) -> None:
    seen: list[int] = []
    folders = write_dataset(tmp_path, sites=5, patients_per_site=2, shape=SMALL, seed=0, progress=seen.append)
    assert [folder.name for folder in folders] == [f"hospital-{letter}" for letter in "abcde"]
    assert seen == list(range(1, 11))
    patients = [row["patient"] for folder in folders for row in _rows(folder / "patients.csv")]
    assert len(set(patients)) == 10
    assert site_shift(4, seed=0) != site_shift(5, seed=0)


def test_a_folder_in_use_is_refused_and_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    site = PhantomSite(patients=2, shape=SMALL)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match="not empty"):
        write_site(tmp_path / "used", site, seed=0, site_index=0)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_site(tmp_path / "new", site, seed=0, site_index=0, progress=interrupt)
    assert [p.name for p in tmp_path.iterdir()] == ["used"]


def test_logistic_regression_on_drawn_patients_recovers_the_stated_coefficients() -> None:
    rng = np.random.default_rng(11)
    design, outcome, probability = [], [], []
    for _ in range(4000):
        radii_mm = draw_tumour_radii_mm(rng, 0.6)
        volume_ml = float((4 / 3 * np.pi * radii_mm**3).sum() / 1000)
        features = true_features(draw_history(rng), Burden(tumour_ml=volume_ml, tumour_count=radii_mm.size))
        probability.append(true_probability(features))
        outcome.append(draw_urgent(rng, probability[-1]))
        raw = {term.feature: features[term.feature] for term in TERMS}
        raw["volume_ml"] = math.log1p(raw["volume_ml"])
        design.append([1.0, *((raw[term.feature] - term.centre) / term.scale for term in TERMS)])
    x, y, p = np.array(design), np.array(outcome), np.array(probability)

    truth = np.array([TRUE_COEFFICIENTS[name] for name in ("intercept", *(term.feature for term in TERMS))])
    assert p == pytest.approx(1 / (1 + np.exp(-x @ truth)))
    assert 0 < p.min() < p.max() < 1
    assert 0.2 < y.mean() < 0.45
    assert y.mean() == pytest.approx(p.mean(), abs=3 * math.sqrt((p * (1 - p)).sum()) / len(p))

    fit = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8, max_iter=1000).fit(x, y).coef_[0]
    fitted = 1 / (1 + np.exp(-x @ fit))
    standard_error = np.sqrt(np.diag(np.linalg.inv((x * (fitted * (1 - fitted))[:, None]).T @ x)))
    assert np.abs((fit - truth) / standard_error).max() < 3


def test_about_two_percent_of_the_history_is_missing() -> None:
    rng = np.random.default_rng(0)
    values = [value for _ in range(2000) for value in recorded(rng, draw_history(rng)).values()]
    assert np.mean([value == "" for value in values]) == pytest.approx(0.02, abs=0.005)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), classes=st.integers(1, 4), flat=st.booleans())
def test_random_volumes_are_standardised_and_labelled_within_their_classes(
    seed: int, classes: int, flat: bool
) -> None:
    shape = (26, 33, 1 if flat else 22)
    image, label = random_labelled_volume(np.random.default_rng(seed), shape, classes)
    assert image.shape == label.shape == shape
    assert image.dtype == np.float32
    assert label.dtype == np.uint8
    assert float(image.mean()) == pytest.approx(0, abs=1e-3)
    assert float(image.std()) == pytest.approx(1, abs=1e-3)
    assert label.max() <= classes


def test_the_first_class_of_a_random_organ_lies_in_front_of_the_second() -> None:
    for seed in range(30):
        _, label = random_labelled_volume(np.random.default_rng(seed), (35, 50, 35), 2)
        front, back = (ndimage.center_of_mass(label == value)[1] for value in (1, 2))
        assert front > back


def test_smooth_noise_has_unit_variance_everywhere_and_neighbours_agree() -> None:
    rng = np.random.default_rng(0)
    fields = np.stack([smooth_noise(rng, (9, 7, 1), scale_voxels=3) for _ in range(2000)])
    assert fields.std(axis=0) == pytest.approx(np.ones((9, 7, 1)), abs=0.08)
    assert np.mean(fields[:, 3, 3] * fields[:, 4, 3]) > 0.8


def test_an_ellipsoid_equals_the_plain_formula_voxel_by_voxel() -> None:
    grid = Grid.centred((5, 6, 4), (1.0, 1.5, 2.0))
    centre_mm, radii_mm = np.array([0.5, -1.0, 0.3]), np.array([2.0, 3.0, 1.5])
    turn = np.array([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
    distance = ellipsoid(grid, centre_mm=centre_mm, radii_mm=radii_mm, rotation=turn)
    for index in np.ndindex(5, 6, 4):
        point = (np.array(index) - np.array([2, 2.5, 1.5])) * [1.0, 1.5, 2.0]
        assert distance[index] == pytest.approx(
            np.linalg.norm(turn @ (point - centre_mm) / radii_mm), rel=1e-5
        )
    assert np.array_equal(coverage(distance, edge=0.1) > 0.5, distance < 1)
