from pathlib import Path

import pytest

from client.data import layouts
from client.data.layouts.base import Listed, Skipped
from shared.errors import DataError


def listed(folder: Path, table: str) -> tuple[list[Listed], list[Skipped]]:
    folder.mkdir(exist_ok=True)
    (folder / "manifest.csv").write_text(table, encoding="utf-8")
    for name in ("a.nii.gz", "b.nii.gz", "deep/c.nii.gz"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return layouts.find(folder, "manifest").list_cases(folder)


@pytest.mark.parametrize(
    "path", ["../outside.nii.gz", "/etc/passwd", "deep/../../x.nii", "C:/x.nii", "..\\x.nii"]
)
def test_a_path_out_of_the_folder_is_refused_by_name(path: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (tmp_path / "outside.nii.gz").touch()
    cases, skipped = listed(folder, f"case,image,label\nx,{path},a.nii.gz\ny,b.nii.gz,deep/c.nii.gz\n")
    assert [item.case for item in cases] == ["y"]
    assert [(skip.case, skip.reason) for skip in skipped] == [("x", "outside_folder")]


def test_a_row_that_names_no_scan_says_its_line(tmp_path: Path) -> None:
    cases, skipped = listed(
        tmp_path, "case;image;label\nx;a.nii.gz;gone.nii\n\ny;manifest.csv;b.nii.gz\nz;;\n"
    )
    assert cases == []
    assert {(skip.case, skip.reason) for skip in skipped} == {
        ("x", "label_missing"), ("y", "image_missing"), ("z", "image_missing"),
        ("deep/c.nii.gz", "not_in_layout"),
    }  # fmt: skip
    assert any("line 2" in skip.detail for skip in skipped if skip.case == "x")


@pytest.mark.parametrize(
    "table",
    [
        "",
        "case\na\n",
        "image,label\na,b\n",
        "case,image,image\nx,a,b\n",
        "case,image\nx,a,b\n",
        "case,image\n,a\n",
    ],
)
def test_a_table_that_cannot_be_used_is_a_data_error(table: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"manifest\.csv"):
        listed(tmp_path, table)


def test_an_empty_cell_of_a_channel_is_a_missing_channel(tmp_path: Path) -> None:
    cases, skipped = listed(tmp_path, "case,image,late,label\nx,a.nii.gz,,b.nii.gz\n")
    assert cases == []
    assert ("x", "channel_missing") in {(skip.case, skip.reason) for skip in skipped}


def test_two_patients_of_one_case_are_a_contradiction_in_any_layout(tmp_path: Path) -> None:
    table = "case,image,late,label,patient\nx,a.nii.gz,,,p\nx,,b.nii.gz,deep/c.nii.gz,q\n"
    _, skipped = listed(tmp_path, table)
    assert [(skip.case, skip.reason) for skip in skipped] == [("x", "patient_mismatch")]
