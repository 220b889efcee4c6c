import json
from pathlib import Path

import pytest

from client.data import layouts
from client.data.layouts.base import Skipped
from client.data.layouts.tree import stem
from shared.errors import DataError

LISTED_A = [{"image": "./imagesTr/a.nii.gz"}]


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
    touch(tmp_path, "images/a.nii", "images/a.nii.gz", "images/c.nrrd", "images/readme.txt", "labels/a.nii")
    listed, skipped = layouts.find(tmp_path, "folders").list_cases(tmp_path)
    assert listed == []
    assert reasons(skipped) == {"a": "duplicate_case", "images/c.nrrd": "unsupported_format"}


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


def test_only_the_ending_of_a_scan_is_dropped_from_a_name() -> None:
    names = ("a.nii.gz", "a.b.nii.gz", "A.NII.GZ", "a.gz", "a.MHA", "a.hdr.gz", "v1.2", ".nii")
    assert [stem(name) for name in names] == ["a", "a.b", "A", "a.gz", "a", "a", "v1.2", ".nii"]


def test_a_folder_of_two_layouts_is_refused_and_can_be_forced(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.nii.gz", "labels/a.nii.gz", "imagesTr/b.nii.gz", "labelsTr/b.nii.gz")
    with pytest.raises(DataError, match=r"decathlon.*folders.*`layout:` in site\.yaml"):
        layouts.find(tmp_path, None)
    for name, case, others in (("decathlon", "b", "a"), ("folders", "a", "b")):
        listed, skipped = layouts.find(tmp_path, name).list_cases(tmp_path)
        assert [item.case for item in listed] == [case]
        assert {skip.reason for skip in skipped} == {"not_in_layout"}
        assert all(Path(skip.case).name == f"{others}.nii.gz" for skip in skipped)


def test_two_specific_layouts_are_as_ambiguous_as_two_general_ones(tmp_path: Path) -> None:
    touch(tmp_path, "volume-1.nii", "segmentation-1.nii", "Images/ytma10_010704_benign1_ccd.tif")
    with pytest.raises(DataError, match=r"lits .*; ucsb "):
        layouts.find(tmp_path, None)


def test_the_more_specific_layout_wins_wherever_it_stands_in_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "images/volume-1.nii", "images/segmentation-1.nii")
    assert layouts.find(tmp_path, None).name == "lits"
    monkeypatch.setattr(layouts, "LAYOUTS", layouts.LAYOUTS[::-1])
    assert layouts.find(tmp_path, None).name == "lits"


@pytest.mark.parametrize(
    ("images", "description", "expected"),
    [
        ("a_0000 a_0001 b_0000 b_0001", None, "nnunet_raw"),
        ("a_0000 b_0000", {"channel_names": {"0": "CT"}}, "nnunet_raw"),
        ("a_0000 b_0000", {"modality": {"0": "CT"}, "training": LISTED_A}, "nnunet_raw"),
        ("a b", {"channel_names": {"0": "CT"}}, "decathlon"),
        ("a b", {"training": LISTED_A}, "decathlon"),
        ("a b", None, "decathlon"),
    ],
)  # fmt: skip
def test_decathlon_and_nnunet_are_told_apart_by_numbers_and_description(
    images: str, description: object, expected: str, tmp_path: Path
) -> None:
    touch(tmp_path, *(f"imagesTr/{name}.nii.gz" for name in images.split()))
    touch(tmp_path, "labelsTr/a.nii.gz", "labelsTr/b.nii.gz")
    if description is not None:
        (tmp_path / "dataset.json").write_text(json.dumps(description))
    layout = layouts.find(tmp_path, None)
    assert layout.name == expected
    listed, _ = layout.list_cases(tmp_path)
    assert [item.case for item in listed] == ["a", "b"]


def test_numbered_images_that_the_description_lists_are_ambiguous(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
    training = [{"image": "./imagesTr/a_0000.nii.gz", "label": "./labelsTr/a.nii.gz"}]
    (tmp_path / "dataset.json").write_text(json.dumps({"training": training, "channel_names": {"0": "CT"}}))
    with pytest.raises(DataError, match=r"decathlon .*nnunet_raw "):
        layouts.find(tmp_path, None)
    for name in ("decathlon", "nnunet_raw"):
        assert len(layouts.find(tmp_path, name).list_cases(tmp_path)[0]) == 1


@pytest.mark.parametrize("names", [["CT"], {"0": "CT", "1": "CT"}, {"first": "CT"}])
def test_channel_names_that_cannot_be_used_are_a_data_error(names: object, tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": names}))
    with pytest.raises(DataError, match="channel_names"):
        layouts.find(tmp_path, "nnunet_raw").list_cases(tmp_path)


@pytest.mark.real_data
def test_the_dirty_folder_has_two_lonely_files(real_data: Path) -> None:
    folder = real_data / "hippocampus_dirty"
    listed, skipped = layouts.find(folder, None).list_cases(folder)
    assert len(listed) == 6
    assert reasons(skipped) == {"hippocampus_118": "label_missing", "hippocampus_010": "image_missing"}


def test_numbers_need_something_that_bears_them_out_unless_a_person_says_so(tmp_path: Path) -> None:
    """`patient_0001` may well be a case's whole name."""
    touch(tmp_path, "imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz")
    assert layouts.find(tmp_path, None).name == "decathlon"
    assert layouts.find(tmp_path, "nnunet_raw").name == "nnunet_raw"
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "CT", "1": "PET"}}')
    assert layouts.find(tmp_path, None).name == "nnunet_raw"
    assert layouts.find(tmp_path, "decathlon").name == "decathlon"
