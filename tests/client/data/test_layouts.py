import json
from pathlib import Path

import pytest

from client.data import layouts
from client.data.layouts.base import Skipped, stem
from shared.errors import DataError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def reasons(skipped: list[Skipped]) -> dict[str, str]:
    return {skip.case: skip.reason for skip in skipped}


@pytest.mark.parametrize(("images", "labels"), [("images", "labels"), ("imagesTr", "labelsTr")])
def test_files_are_matched_by_name_and_the_lonely_are_named(tmp_path: Path, images: str, labels: str) -> None:
    touch(
        tmp_path, f"{images}/b.nii", f"{images}/a.b.nii.gz", f"{images}/._b.nii.gz", f"{images}/alone.nii.gz"
    )
    touch(tmp_path, f"{labels}/b.nii.gz", f"{labels}/a.b.nii", f"{labels}/orphan.NII.GZ")
    layout = layouts.find(tmp_path, None)
    listed, skipped = layout.list_cases(tmp_path)
    assert [item.case for item in listed] == ["a.b", "b"]
    assert [item.label.name for item in listed if item.label] == ["a.b.nii", "b.nii.gz"]
    assert reasons(skipped) == {"alone": "label_missing", "orphan": "image_missing"}
    listed, skipped = layout.list_cases(tmp_path, require_label=False)
    assert [(item.case, item.label is None) for item in listed] == [
        ("a.b", False),
        ("alone", True),
        ("b", False),
    ]
    assert reasons(skipped) == {"orphan": "image_missing"}


def test_two_files_for_one_case_and_foreign_formats_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.nii", "images/a.nii.gz", "images/c.mha", "images/readme.txt", "labels/a.nii")
    listed, skipped = layouts.find(tmp_path, "folders").list_cases(tmp_path)
    assert listed == []
    assert reasons(skipped) == {"a": "duplicate_case", "c": "unsupported_format"}


def test_decathlon_joins_its_list_with_the_folders(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "imagesTr/b.nii.gz", "labelsTr/b.nii.gz")
    touch(tmp_path, "more/c_0000.nii.gz", "labelsTr/c.nii.gz")
    training = [
        {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"},
        {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"},
        {"image": "more/c_0000.nii.gz", "label": "labelsTr/c.nii.gz"},
        {"image": "./imagesTr/gone.nii.gz", "label": "./labelsTr/gone.nii.gz"},
        {"image": "../../etc/passwd", "label": "/etc/passwd"},
        "imagesTr/a.nii.gz",
    ]
    (tmp_path / "dataset.json").write_text(json.dumps({"training": training}))
    listed, skipped = layouts.find(tmp_path, None).list_cases(tmp_path)
    assert [item.case for item in listed] == ["a", "b", "c_0000"]
    assert listed[2].label == tmp_path / "labelsTr" / "c.nii.gz"
    assert reasons(skipped) == dict.fromkeys(("gone", "training[4]", "training[5]"), "image_missing")


@pytest.mark.parametrize("text", ["", "[1]", '{"training": {}}', "\xff", "[" * 100_000])
def test_a_broken_dataset_json_is_a_data_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"dataset\.json"):
        layouts.find(tmp_path, None).list_cases(tmp_path)


def test_unknown_folders_and_names_say_what_was_looked_for(tmp_path: Path) -> None:
    touch(tmp_path, "scans/a.nii.gz")
    with pytest.raises(DataError, match=r"imagesTr.*images/.*Found in it: scans"):
        layouts.find(tmp_path, None)
    with pytest.raises(DataError, match="folders"):
        layouts.find(tmp_path, "dicom")
    with pytest.raises(DataError, match="not a folder"):
        layouts.find(tmp_path / "none", None)


def test_only_the_nifti_ending_is_dropped_from_a_name() -> None:
    assert [stem(name) for name in ("a.nii.gz", "a.nii", "a.b.nii.gz", "A.NII.GZ", "a.gz")] == [
        "a", "a", "a.b", "A", "a.gz",
    ]  # fmt: skip


@pytest.mark.real_data
def test_the_dirty_folder_has_two_lonely_files(real_data: Path) -> None:
    folder = real_data / "hippocampus_dirty"
    listed, skipped = layouts.find(folder, None).list_cases(folder)
    assert len(listed) == 6
    assert reasons(skipped) == {"hippocampus_118": "label_missing", "hippocampus_010": "image_missing"}
