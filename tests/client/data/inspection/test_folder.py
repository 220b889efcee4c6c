import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from client.data.inspection.facts import Inspection
from client.data.inspection.folder import MAX_PICTURED, evenly, inspect
from shared.errors import DataError
from tests.client.data.formats.samples import write_by_itk
from tests.client.data.layouts.made import AFFINE
from tests.client.data.layouts.trees import (
    TREES,
    write_brats_nifti,
    write_folders,
    write_manifest,
    write_ucsb,
)
from tests.client.data.scans import picture, write_scan


def looked_at(folder: Path, patients_csv: Path | None = None) -> Inspection:
    return inspect(folder, patients_csv=patients_csv).found


@pytest.mark.parametrize("name", TREES)
def test_every_layout_is_inspected_without_a_fault(name: str, tmp_path: Path) -> None:
    layout, write = TREES[name]
    made = write(tmp_path)
    found = looked_at(tmp_path)
    assert (found.layout, found.cases, found.usable) == (layout, 3, 3)
    assert (found.faults, found.warnings, found.duplicates) == ((), (), ())
    assert (found.labelled, found.tumour_free) == (3, 0)
    patients = set(made.cases.values())
    assert found.patients.count == (None if patients == {None} else len(patients))
    assert bool(found.patients.decision) == (found.patients.count is None)
    assert Inspection.model_validate_json(found.model_dump_json(by_alias=True)) == found


def damaged(folder: Path) -> None:
    """Eight cases, and something wrong with most."""
    write_folders(folder, 8)
    images, labels = folder / "images", folder / "labels"
    image, label = picture(0)
    write_scan(labels / "case-1.nii.gz", label[:-1])
    image[1, 1, 1] = np.nan
    write_scan(images / "case-2.nii.gz", image)
    write_scan(labels / "case-3.nii.gz", np.zeros_like(label))
    write_by_itk(images / "again.mha", picture(4)[0], AFFINE)  # as case-4
    write_scan(labels / "again.nii.gz", picture(4)[1])
    path = images / "case-5.nii.gz"
    path.write_bytes(path.read_bytes()[:-900])
    write_scan(images / "case-6.nii.gz", picture(6)[0], axes="LAS")
    write_scan(labels / "case-6.nii.gz", picture(6)[1], axes="LAS")
    (labels / "case-7.nii.gz").unlink()
    shutil.copy(labels / "case-0.nii.gz", labels / "lonely.nii.gz")


def test_planted_faults_are_named_with_a_cure_and_the_good_cases_are_counted(tmp_path: Path) -> None:
    damaged(tmp_path)
    found = looked_at(tmp_path)
    assert {fault.case: fault.reason for fault in found.faults} == {
        "case-1": "shape_mismatch",
        "case-2": "not_finite",
        "case-5": "unreadable",
        "case-7": "label_missing",
        "lonely": "image_missing",
    }
    assert {fault.case: fault.reason for fault in found.warnings} == {
        "again": "duplicate_pixels",
        "case-3": "empty_label",
    }
    assert all(fault.cure and fault.detail for fault in (*found.faults, *found.warnings))
    assert [duplicate.cases for duplicate in found.duplicates] == [("again", "case-4")]
    assert (found.cases, found.usable, len(found.facts)) == (10, 5, 9)
    assert (found.labelled, found.tumour_free, found.tumour_free_share) == (5, 1, 0.2)


def test_a_flipped_orientation_is_seen_in_the_facts_and_names_its_case(tmp_path: Path) -> None:
    damaged(tmp_path)
    common, odd = looked_at(tmp_path).orientations
    assert (common.value, common.cases) == ("RAS", 7)
    assert (odd.value, odd.cases, odd.examples) == ("LAS", 1, ("case-6",))


def test_the_sums_are_those_of_the_cases(tmp_path: Path) -> None:
    write_brats_nifti(tmp_path, 4)
    found = looked_at(tmp_path)
    values = [value for case in found.facts if case.label for value in case.label.values]
    assert {label.value: label.cases for label in found.labels} == Counter(v.value for v in values)
    for label in found.labels:
        mine = [value for value in values if value.value == label.value]
        volumes = [value.ml for value in mine if value.ml is not None]
        assert label.count == sum(value.count for value in mine)
        assert label.ml is not None
        assert (label.ml.lowest, label.ml.highest) == (min(volumes), max(volumes))
        assert label.ml.middle == np.median(volumes)
    assert [one.channel for one in found.intensities] == ["t1", "t1ce", "t2", "flair"]
    t2 = [case.channels[2].intensity for case in found.facts]
    assert found.intensities[2].highest.highest == max(one.highest for one in t2 if one)


def test_a_scan_and_its_copy_in_another_channel_are_told(tmp_path: Path) -> None:
    write_manifest(tmp_path, 2)
    shutil.copy(tmp_path / "a/0/early.nii.gz", tmp_path / "a/0/late.nii.gz")
    (warning,) = looked_at(tmp_path).warnings
    assert (warning.case, warning.reason) == ("scan 0", "duplicate_channel")
    assert "image, late" in warning.detail


def test_a_photograph_that_is_there_twice_is_told_and_a_grey_one_in_colours_is_not(tmp_path: Path) -> None:
    write_ucsb(tmp_path, 2)
    one, two = sorted((tmp_path / "Images").iterdir())
    tifffile.imwrite(one, np.repeat(tifffile.imread(one)[..., :1], 3, axis=2))
    assert looked_at(tmp_path).warnings == ()
    shutil.copy(one, two)
    (duplicate,) = looked_at(tmp_path).duplicates
    assert duplicate.channels == ("blue", "green", "red")
    assert len(duplicate.cases) == 2


def write_table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("table", "count", "unmapped"),
    [
        ("case,patient\ncase-0,a\ncase-1,a\ncase-2,b\n", 2, 0),
        ("case,patient\ncase-0,a\ncase-1,a\n", 2, 1),
        ("case,age\ncase-0,50\ncase-1,60\n", None, 3),
        ("patient,age\ncase-0,50\n", None, 3),
    ],
)
def test_patients_are_counted_from_a_map_and_not_claimed_without_one(
    table: str, count: int | None, unmapped: int, tmp_path: Path
) -> None:
    write_folders(tmp_path / "data")
    given = write_table(tmp_path / "elsewhere.csv", table)
    patients = looked_at(tmp_path / "data", given).patients
    assert (patients.count, patients.unmapped) == (count, unmapped)
    assert bool(patients.decision) == (unmapped > 0)
    assert patients.source == ("none" if count is None else str(given))


def test_the_table_in_the_folder_is_found_and_the_one_given_goes_before_it(tmp_path: Path) -> None:
    write_manifest(tmp_path)  # says itself: two patients
    assert looked_at(tmp_path).patients.source == "layout"
    write_table(tmp_path / "patients.csv", "case,patient\nscan 0,x\nscan 1,y\nscan 2,z\n")
    assert looked_at(tmp_path).patients.count == 3
    given = write_table(tmp_path / "other.csv", "case,patient\nscan 0,x\nscan 1,x\nscan 2,x\n")
    assert looked_at(tmp_path, given).patients.count == 1


@given(count=st.integers(0, 3000), most=st.integers(1, 300))
def test_what_is_pictured_is_chosen_evenly(count: int, most: int) -> None:
    chosen = evenly(count, most)
    assert len(chosen) == min(count, most) == len(set(chosen))
    assert chosen == sorted(chosen)
    if count:
        assert chosen[0] == 0
        gaps = np.diff([*chosen, count])
        assert gaps.max() - gaps.min() <= 1


def test_only_the_chosen_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folders(tmp_path, 5)
    assert MAX_PICTURED == 200
    assert inspect(tmp_path).pictures == {}
    assert list(inspect(tmp_path, draw=True).pictures) == [f"case-{index}" for index in range(5)]
    monkeypatch.setattr("client.data.inspection.folder.MAX_PICTURED", 2)
    assert list(inspect(tmp_path, draw=True).pictures) == ["case-0", "case-2"]


def test_progress_is_told_case_by_case(tmp_path: Path) -> None:
    write_folders(tmp_path, 3)
    steps: list[tuple[int, int]] = []
    inspect(tmp_path, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda folder: None, "none of the layouts"),
        (lambda folder: (folder / "images").mkdir(), "no scan"),
    ],
)
def test_a_folder_without_scans_is_an_error_of_the_whole(
    prepare: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    prepare(tmp_path)
    with pytest.raises(DataError, match=words):
        inspect(tmp_path)
