import csv
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from client.data import cache, formats, store
from client.data.cache import SiteData, load, prepare
from shared.errors import DataError
from shared.study import Study
from shared.unlabelled import UNLABELLED
from tests.client.data.formats.samples import write_by_itk
from tests.client.data.layouts.trees import TREES, write_bids, write_brats_nifti, write_ucsb, write_vessel12
from tests.client.data.scans import affine_of, picture, study, write_case, write_scan

URGENT = {"terms": [{"feature": "volume_ml"}]}


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for number in range(4):
        write_case(tmp_path / "data", f"case-{number}", number)
    return tmp_path / "data"


def prepared(folder: Path, chosen: Study | None = None, **options: Any) -> SiteData:
    arguments = {"layout": None, "patients_csv": None, "cache_folder": folder.parent / "cache", **options}
    return prepare(folder, study=chosen or study(), **arguments)


def reasons(data: SiteData) -> dict[str, str]:
    return {skip.case: skip.reason for skip in data.skipped}


def test_what_is_prepared_can_be_loaded_and_mapped(scans: Path) -> None:
    steps: list[tuple[int, int]] = []
    data = prepared(scans, progress=lambda done, total: steps.append((done, total)))
    assert load(data.folder, study()) == data
    assert [case.case for case in data.cases] == [f"case-{number}" for number in range(4)]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    case = data.cases[0]
    image, label = case.image(data.folder), case.label(data.folder)
    assert isinstance(image, np.memmap)
    assert (image.shape, str(image.dtype)) == ((1, *case.shape), "float32")
    assert (label.shape, str(label.dtype)) == (case.shape, "uint8")
    assert case.reference_voxels == (int((label == 1).sum()), int((label == 2).sum()))
    assert sum(len(data.split(name)) for name in ("train", "validation", "test")) == 4
    assert not data.has_subject_map


def test_several_at_a_time_become_what_one_at_a_time_becomes(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "LARGE_BYTES", 0)
    (scans / "images" / "case-2.nii.gz").write_bytes(b"no scan")
    alone = prepared(scans)
    steps: list[tuple[int, int]] = []
    together = prepared(
        scans,
        cache_folder=tmp_path / "another",
        workers=3,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (together.cases, together.skipped) == (alone.cases, alone.skipped)
    assert reasons(together).keys() == {"case-2"}
    for case in alone.cases:
        np.testing.assert_array_equal(case.image(together.folder), case.image(alone.folder))


def test_a_scan_beyond_the_sites_limits_is_refused_by_name_and_costs_no_other(scans: Path) -> None:
    image, label = picture(7, (30, 30, 30))
    write_scan(scans / "images" / "large.nii.gz", image)
    write_scan(scans / "labels" / "large.nii.gz", label)
    assert reasons(prepared(scans)) == {}
    data = prepared(scans, cache_folder=scans.parent / "new", limits=formats.Limits(max_voxels=30**3 - 1))
    assert reasons(data) == {"large": "too_large"}
    assert len(data.cases) == 4


def test_a_second_prepare_reads_no_scan_again(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = prepared(scans)
    before = {path.name: path.stat().st_mtime_ns for path in data.folder.glob("*.npy")}
    assert len(before) == 8
    monkeypatch.setattr(formats, "read_narrow", None)
    assert prepared(scans) == data
    assert {path.name: path.stat().st_mtime_ns for path in data.folder.glob("*.npy")} == before


def test_adding_a_case_leaves_keys_and_splits_of_the_others(scans: Path) -> None:
    before = prepared(scans)
    write_case(scans, "a-new-one", 99)
    after = prepared(scans)
    assert [case for case in after.cases if case.case != "a-new-one"] == list(before.cases)


def test_a_changed_scan_label_or_study_makes_a_new_entry(scans: Path) -> None:
    def keys(chosen: Study | None = None) -> list[str]:
        return [case.key for case in prepared(scans, chosen).cases]

    first = keys()
    write_scan(scans / "labels" / "case-0.nii.gz", np.zeros_like(picture(0)[1]))
    second = keys()
    assert [one == two for one, two in zip(first, second, strict=True)] == [False, True, True, True]
    changed = study(preprocessing={"slices": 6}), study(model={"channels": [4, 8, 16]})
    for chosen in changed:
        assert not set(keys(chosen)) & set(second)
    assert keys(study(training={"rounds": 9, "window": [8, 8, 8]})) == second


def test_a_damaged_entry_is_made_again(scans: Path) -> None:
    data = prepared(scans)
    case = data.cases[1]
    path = data.folder / f"{case.key}.image.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    with pytest.raises(DataError, match="Prepare this site's data again"):
        case.image(data.folder)
    prepared(scans)
    assert path.read_bytes() == whole
    (data.folder / f"{case.key}.label.npy").unlink()
    assert prepared(scans) == data
    assert not [path for path in data.folder.iterdir() if path.name.startswith(".")]


def test_broken_files_are_skipped_by_name_and_never_end_the_run(
    scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, label = picture(0)
    nan = image.copy()
    nan[1, 1, 1] = np.nan
    broken: dict[str, Any] = {
        "nan": (nan, label),
        "many": (np.stack([image] * 17, -1), label),
        "two": (np.stack([image] * 2, -1), label),
        "values": (image, label + 5),
        "shape": (image, label[:-1]),
        "constant": (np.zeros_like(image), label),
    }
    for name, pair in broken.items():
        write_scan(scans / "images" / f"{name}.nii.gz", pair[0])
        write_scan(scans / "labels" / f"{name}.nii.gz", pair[1])
    write_scan(scans / "images" / "float.nii.gz", image[..., None])
    write_scan(scans / "labels" / "float.nii.gz", label.astype(np.float32))
    write_scan(scans / "images" / "alone.nii.gz", image)
    write_scan(scans / "labels" / "folder.nii.gz", label)
    (scans / "images" / "folder.nii.gz").mkdir()
    write_scan(scans / "labels" / "text.nii.gz", label)
    (scans / "images" / "text.nii.gz").write_text("not a scan")
    write_scan(scans / "labels" / "pipe.nii.gz", label)
    os.mkfifo(scans / "images" / "pipe.nii.gz")
    expected = {
        "nan": "not_finite", "many": "not_3d", "two": "unsupported_channels", "values": "label_values",
        "shape": "shape_mismatch", "constant": "empty_image", "alone": "label_missing",
        "folder": "image_missing", "text": "unreadable", "pipe": "unreadable",
    }  # fmt: skip
    data = prepared(scans)
    assert reasons(data) == expected
    assert {case.case for case in data.cases} == {"float", *(f"case-{number}" for number in range(4))}
    with (data.folder / "skipped.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["case"], row["reason"]) for row in rows] == sorted(expected.items())

    def surprise(*arguments: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(store, "preprocess", surprise)
    (data.folder / f"{data.cases[0].key}.json").unlink()
    assert reasons(prepared(scans)) == {**expected, data.cases[0].case: "unreadable"}


def test_a_site_whose_every_case_is_broken_still_says_so(tmp_path: Path) -> None:
    write_scan(tmp_path / "data" / "images" / "a.nii.gz", picture(0)[0])
    data = prepared(tmp_path / "data")
    assert data.cases == ()
    assert reasons(data) == {"a": "label_missing"}
    (tmp_path / "none" / "images").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no"):
        prepared(tmp_path / "none")


def test_patients_keep_together_and_bring_history_and_outcome(scans: Path) -> None:
    table = scans.parent / "patients.csv"
    table.write_text("case,patient,age,urgent\ncase-0,p,60,1\ncase-1,p,,0\ncase-2,q,50,\n")
    chosen = study(priority={**URGENT, "urgent": {"outcome": "urgent"}})
    data = prepared(scans, chosen, patients_csv=table)
    assert data.has_subject_map
    assert data.without_row == 1
    assert [case.patient for case in data.cases] == ["p", "p", "q", "case-3"]
    assert data.cases[0].split == data.cases[1].split
    assert [case.history for case in data.cases] == [{"age": 60.0}, {}, {"age": 50.0}, {}]
    assert [case.outcome for case in data.cases] == [1, 0, None, None]
    assert sum(data.patients(name) for name in ("train", "validation", "test")) == 3
    assert load(data.folder, chosen) == data


def test_another_history_asked_for_is_another_index(scans: Path) -> None:
    table = scans.parent / "patients.csv"
    table.write_text("case,sex\ncase-0,F\ncase-1,M\n")
    urgent = {"volume": {"above_ml": 1.0}}
    plain = study(priority={**URGENT, "urgent": urgent})
    asking = study(
        priority={"terms": [{"feature": "sex", "level": "F"}, {"feature": "smoker"}], "urgent": urgent}
    )
    prepared(scans, plain, patients_csv=table)
    with pytest.raises(DataError, match="Prepare"):
        load(scans.parent / "cache", asking)
    data = prepared(scans, asking, patients_csv=table)
    assert [case.history.get("sex=F") for case in data.cases] == [1.0, 0.0, None, None]
    assert data.history_lacking == {"smoker": "no such column"}
    assert load(data.folder, asking) == data


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        ({"above_ml": 0.05}, 0),  # 36 voxels of head and 2 of body, 1 mm³ each: 0.038 ml
        ({"below_ml": 0.05}, 1),
        ({"above_ml": 0.001, "classes": ["body"]}, 1),
        ({"above_ml": 0.037, "classes": ["head"]}, 0),
        ({"above_ml": 0.037}, 1),
    ],
)
def test_urgent_by_volume_follows_from_the_reference(
    scans: Path, bound: dict[str, Any], expected: int
) -> None:
    data = prepared(scans, study(priority={**URGENT, "urgent": {"volume": bound}}))
    assert {case.outcome for case in data.cases} == {expected}


def test_an_index_of_another_study_or_none_is_a_data_error(scans: Path) -> None:
    data = prepared(scans)
    with pytest.raises(DataError, match="Prepare this site's data"):
        load(data.folder, study(evaluation={"split_salt": "another"}))
    (index,) = data.folder.glob("dataset-*.json")
    index.write_text("{")
    with pytest.raises(DataError, match="Prepare this site's data"):
        load(data.folder, study())


@pytest.mark.real_data
def test_all_real_hippocampi_load_in_seconds(real_data: Path, tmp_path: Path) -> None:
    chosen = study(
        task={"classes": ["anterior", "posterior"]},
        preprocessing={"spacing_mm": [1, 1, 1], "shape": [48, 64, 48]},
    )
    begin = time.perf_counter()
    data = prepared(real_data / "hippocampus", chosen, cache_folder=tmp_path / "cache")
    assert time.perf_counter() - begin < 15
    assert (len(data.cases), data.skipped) == (200, ())
    for case in data.cases:
        assert case.reference_voxels == tuple(np.bincount(case.label(data.folder).ravel(), minlength=3)[1:])
        assert min(case.reference_voxels) > 0


@pytest.mark.real_data
def test_the_dirty_folder_gives_six_cases_and_two_names(real_data: Path, tmp_path: Path) -> None:
    data = prepared(real_data / "hippocampus_dirty", cache_folder=tmp_path / "cache")
    assert len(data.cases) == 6
    assert reasons(data) == {"hippocampus_118": "label_missing", "hippocampus_010": "image_missing"}


def test_voxels_in_a_file_of_their_own_belong_to_what_an_entry_is_found_by(tmp_path: Path) -> None:
    for name, array in zip(("images", "labels"), picture(0), strict=True):
        (tmp_path / "data" / name).mkdir(parents=True)
        write_by_itk(tmp_path / "data" / name / "a.mhd", array, affine_of(1, 1, 1))

    def key() -> str:
        options: dict[str, Any] = {"layout": None, "patients_csv": None, "study": study()}
        found = prepare(tmp_path / "data", cache_folder=tmp_path / "cache", **options)
        assert found.skipped == ()
        return found.cases[0].key

    first = key()
    assert key() == first
    voxels = tmp_path / "data" / "images" / "a.raw"
    voxels.write_bytes(np.frombuffer(voxels.read_bytes(), np.float32)[::-1].tobytes())
    assert key() != first


STUDIES: dict[str, dict[str, Any]] = {
    "brats2015": {
        "channels": ["t1", "t1ce", "t2", "flair"],
        "classes": ["head", "body"],
        "labels": [[1, 3], [2, 4]],
    },
    "brats_nifti": {"channels": ["flair"], "classes": ["head", "body"], "labels": [[1, 4], [2]]},
    "ucsb": {"channels": ["red", "green", "blue"], "classes": ["cell"], "labels": [[255]]},
    "vessel12": {"truth": "points", "classes": ["vessel"]},
    "nnunet_raw": {"channels": ["ct", "pet"], "classes": ["head", "body"]},
    "bids": {"channels": ["t1w"], "classes": ["head", "body"]},
    "manifest": {"channels": ["late", "image"], "classes": ["head", "body"]},
}


@pytest.mark.parametrize("tree", TREES)
def test_every_layout_becomes_input_of_the_network(tree: str, tmp_path: Path) -> None:
    layout, write = TREES[tree]
    made = write(tmp_path / "data")
    chosen = study(task=STUDIES.get(layout, {"classes": ["head", "body"]}))
    if layout == "ucsb":
        chosen = study(
            task=STUDIES["ucsb"], model={"channels": [4, 8], "dimensions": 2}, training={"window": [8, 8, 1]}
        )
    data = prepared(tmp_path / "data", chosen)
    assert data.skipped == ()
    assert {case.case for case in data.cases} == set(made.cases)
    for case in data.cases:
        image, label = case.image(data.folder), case.label(data.folder)
        assert image.shape == (len(chosen.task.channels), *case.shape)
        assert np.isfinite(image).all()
        assert sum(case.reference_voxels) > 0
        assert case.patient == (made.cases[case.case] or case.case)
        marked = (label > 0) & (label != UNLABELLED)
        back = case.restored(marked.astype(np.uint8))
        assert back.shape == case.source_shape
        assert np.count_nonzero(back) == np.count_nonzero(marked)
        assert bool((label == UNLABELLED).any()) == (chosen.task.truth == "points")
        entry = json.loads((data.folder / f"{case.key}.json").read_text())
        steps = [step["what"] for step in entry["steps"]]
        assert steps[:1] == (["labelled window"] if layout == "ucsb" else ["orientation"])
    assert data.has_subject_map == all(made.cases.values())


def test_the_region_can_be_the_truth_and_needs_no_other_label(tmp_path: Path) -> None:
    write_vessel12(tmp_path / "data")
    (tmp_path / "data" / "Annotations" / "VESSEL12_21_Annotations.csv").unlink()
    (tmp_path / "data" / "Lungmasks" / "VESSEL12_22.mhd").unlink()
    (tmp_path / "data" / "Lungmasks" / "VESSEL12_22.raw").unlink()
    data = prepared(tmp_path / "data", study(task={"classes": ["lung"], "truth": "region"}))
    assert reasons(data) == {"VESSEL12_22": "label_missing"}
    assert [case.case for case in data.cases] == ["VESSEL12_21", "VESSEL12_23"]
    assert {case.reference_voxels for case in data.cases} == {(9 * 10 * 11,)}


def test_a_kind_of_label_that_does_not_fit_is_named(tmp_path: Path) -> None:
    write_vessel12(tmp_path / "vessel12")
    write_case(tmp_path / "dense", "a", 0)
    for folder, task in (("vessel12", {}), ("dense", {"truth": "points"})):
        data = prepared(tmp_path / folder, study(task={"classes": ["head", "body"], **task}))
        assert set(reasons(data).values()) == {"unsupported_label"}, folder
        assert "task.truth" in data.skipped[0].detail


def test_a_mask_without_a_window_is_refused(tmp_path: Path) -> None:
    write_ucsb(tmp_path / "data", 2)
    path = sorted((tmp_path / "data" / "Masks").iterdir())[0]
    tifffile.imwrite(path, np.zeros((80, 96), np.uint8))
    chosen = study(task=STUDIES["ucsb"], model={"channels": [4, 8]})
    data = prepared(tmp_path / "data", chosen)
    assert list(reasons(data).values()) == ["empty_label"]
    (case,) = data.cases
    source, mask = case.source_shape, tifffile.imread(sorted((tmp_path / "data" / "Masks").iterdir())[1])
    assert source == (96, 80, 1)
    window = np.argwhere(mask.T > 0)
    assert case.shape[:2] == tuple(-(-side // 2) * 2 for side in (np.ptp(window, axis=0) + 1).tolist())


def test_every_file_that_is_used_and_what_for_decides_the_key(tmp_path: Path) -> None:
    write_brats_nifti(tmp_path / "data", 1)

    def key(*channels: str) -> str:
        task = {"channels": list(channels), "classes": ["head", "body"], "labels": [[1, 4], [2]]}
        (case,) = prepared(tmp_path / "data", study(task=task)).cases
        return case.key

    first = key("t1", "flair")
    assert key("flair", "t1") != first
    assert key("t1") != first
    (flair,) = (tmp_path / "data").rglob("*_flair.nii.gz")
    (other,) = (tmp_path / "data").rglob("*_t2.nii.gz")
    write_scan(other, picture(7)[0].astype(np.int16))
    assert key("t1", "flair") == first
    write_scan(flair, picture(7)[0].astype(np.int16))
    assert key("t1", "flair") != first


def test_the_table_decides_on_patients_then_the_layout(tmp_path: Path) -> None:
    write_bids(tmp_path / "data", 4)  # two sessions of each of two subjects
    table = tmp_path / "patients.csv"
    table.write_text("case,patient\nsub-01_ses-1,anna\n")
    chosen = study(task=STUDIES["bids"])
    data = prepared(tmp_path / "data", chosen, patients_csv=table)
    assert [case.patient for case in data.cases] == ["anna", "sub-01", "sub-02", "sub-02"]
    assert (data.has_subject_map, data.without_row) == (True, 0)
    table.write_text("case,age\nsub-01_ses-1,60\n")
    data = prepared(tmp_path / "data", chosen, patients_csv=table)
    assert [case.patient for case in data.cases] == ["sub-01", "sub-01", "sub-02", "sub-02"]
    assert data.cases[0].history == {"age": 60.0}
