import csv
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.data import formats, store
from client.data.cache import SiteData, load, prepare
from shared.errors import DataError
from shared.study import Study
from tests.client.data.formats.samples import write_by_itk
from tests.client.data.layouts.trees import write_brats_nifti, write_ucsb
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


def test_a_second_prepare_reads_no_scan_again(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = prepared(scans)
    before = {path.name: path.stat().st_mtime_ns for path in data.folder.glob("*.npy")}
    assert len(before) == 8
    monkeypatch.setattr(formats, "read", None)
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
        "four": (np.stack([image] * 2, -1), label),
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
        "nan": "not_finite", "four": "not_3d", "values": "label_values", "shape": "shape_mismatch",
        "constant": "empty_image", "alone": "label_missing", "folder": "image_missing", "text": "unreadable",
        "pipe": "unreadable",
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


def test_cases_that_no_study_can_use_yet_are_named(tmp_path: Path) -> None:
    write_brats_nifti(tmp_path / "brats", 2)
    write_ucsb(tmp_path / "ucsb", 2)
    for name, reason in (("brats", "unsupported_channels"), ("ucsb", "unsupported_label")):
        found = prepare(
            tmp_path / name, layout=None, patients_csv=None, study=study(), cache_folder=tmp_path / "cache"
        )
        assert found.cases == ()
        assert [skip.reason for skip in found.skipped] == [reason] * 2
