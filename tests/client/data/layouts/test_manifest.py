from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.data import layouts
from client.data.layouts.base import LabelKind, Listed, Skipped
from client.data.layouts.manifest import write_manifest
from shared.errors import DataError
from tests.client.data.layouts.trees import TREES

FOLDER = Path("/nowhere/at all")


def listed(folder: Path, table: str) -> tuple[list[Listed], list[Skipped]]:
    folder.mkdir(exist_ok=True)
    (folder / "manifest.csv").write_text(table, encoding="utf-8")
    for name in ("a.nii.gz", "b.nii.gz", "deep/c.nii.gz"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return layouts.find(folder, "manifest").list_cases(folder)


@pytest.mark.parametrize(
    "path", ["../outside.nii.gz", "/etc/passwd", "deep/../../x.nii", "C:/x.nii", "..\\x.nii", "."]
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


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("labelled", [True, False])
def test_the_cases_of_any_layout_are_read_back_from_the_manifest_that_was_written(
    name: str, labelled: bool, tmp_path: Path
) -> None:
    TREES[name][1](tmp_path)
    layout = layouts.find(tmp_path, None)
    listed, _ = layout.list_cases(tmp_path)
    if not labelled:
        listed = [replace(item, label=None) for item in listed]
    write_manifest(tmp_path, reversed(listed))
    again, _ = layouts.find(tmp_path, "manifest").list_cases(tmp_path, require_label=labelled)
    assert again == listed
    assert [list(item.images) for item in again] == [list(item.images) for item in listed]


FILES = st.sampled_from(["a.nii.gz", "b.nii", "deep/c d.mha", "deep/ü,e.nii.gz"])
ODD = "a,-\"'é \u2028\x85\t\n\r\0;\ufeff\ud800"
WORDS = st.text(st.sampled_from(ODD), min_size=1, max_size=3)


@st.composite
def items(draw: st.DrawFn) -> Listed:
    kind: LabelKind = draw(st.sampled_from(["volume", "window", "points"]))
    files = st.builds(FOLDER.__truediv__, FILES)
    return Listed(
        case=draw(WORDS),
        images=draw(st.dictionaries(WORDS, files, min_size=1, max_size=3)),
        label=draw(st.none() | (st.just(FOLDER / "points.csv") if kind == "points" else files)),
        label_kind=kind,
        patient=draw(st.none() | WORDS),
        region=draw(st.none() | files),
        components=tuple(draw(st.lists(WORDS, max_size=3))),
    )


@given(st.lists(items(), max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_a_manifest_cannot_hold_is_refused_and_all_else_is_read_back(
    tmp_path: Path, cases: list[Listed]
) -> None:
    for name in ("a.nii.gz", "b.nii", "deep/c d.mha", "deep/ü,e.nii.gz", "points.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    here = [moved(item, tmp_path) for item in cases]
    try:
        write_manifest(tmp_path, here)
    except DataError:
        texts = [text for item in cases for text in (item.case, *item.images, *item.components)]
        texts += [item.patient for item in cases if item.patient]
        odd = any(text != text.strip() or not text.isprintable() or set(text) & set(";\t") for text in texts)
        assert odd or len({item.case for item in cases}) < len(cases)
        return
    again, skipped = layouts.find(tmp_path, "manifest").list_cases(tmp_path, require_label=False)
    assert again == sorted(here, key=lambda item: item.case)
    assert {skip.reason for skip in skipped} <= {"not_in_layout"}


def moved(item: Listed, folder: Path) -> Listed:
    def at(path: Path | None) -> Path | None:
        return None if path is None else folder / path.relative_to(FOLDER)

    images = {name: folder / path.relative_to(FOLDER) for name, path in item.images.items()}
    return replace(item, images=images, label=at(item.label), region=at(item.region))


@pytest.mark.parametrize(
    "change",
    [
        {"case": " x"},
        {"case": "a\rb"},
        {"images": {"label": Path("a.nii.gz")}},
        {"images": {"a;b": Path("a.nii.gz")}},
        {"images": {"image": Path("..", "a.nii.gz")}},
        {"images": {"image": Path("-")}},
        {"patient": "p\udcff"},
        {"components": ("red;green",)},
    ],
)
def test_a_name_that_would_be_read_otherwise_is_not_written(change: dict[str, Any], tmp_path: Path) -> None:
    if "images" in change:
        change = {"images": {name: tmp_path / path for name, path in change["images"].items()}}
    good = Listed("x", {"image": tmp_path / "a.nii.gz"}, None)
    with pytest.raises(DataError, match=r"manifest\.csv"):
        write_manifest(tmp_path, [replace(good, **change)])
    assert list(tmp_path.iterdir()) == []


def test_a_kind_of_label_that_there_is_not_is_named_with_its_line(tmp_path: Path) -> None:
    table = "case,image,label,label_kind\nx,a.nii.gz,b.nii.gz,polygon\ny,deep/c.nii.gz,b.nii.gz,window\n"
    cases, skipped = listed(tmp_path, table)
    assert [(item.case, item.label_kind) for item in cases] == [("y", "window")]
    (skip,) = (skip for skip in skipped if skip.case == "x")
    assert skip.reason == "unsupported_label"
    assert "line 2" in skip.detail


def test_points_are_a_table_of_the_folder_and_a_region_is_a_scan(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("1,2,3,1\n")
    table = (
        "case,image,label,label_kind,region\nx,a.nii.gz,points.csv,points,b.nii.gz\n"
        "y,a.nii.gz,gone.csv,points,\nz,a.nii.gz,points.csv,,\nw,a.nii.gz,deep/c.nii.gz,,gone.nii\n"
    )
    cases, skipped = listed(tmp_path, table)
    assert [(item.case, item.label, item.region) for item in cases] == [
        ("x", tmp_path / "points.csv", tmp_path / "b.nii.gz")
    ]
    assert {(skip.case, skip.reason) for skip in skipped} == {
        ("y", "label_missing"), ("z", "label_missing"), ("w", "region_missing"),
    }  # fmt: skip


def test_a_dash_says_that_a_case_is_known_to_lack_a_channel(tmp_path: Path) -> None:
    cases, skipped = listed(
        tmp_path, "case,image,late,label\nx,a.nii.gz,-,b.nii.gz\ny,deep/c.nii.gz,,b.nii.gz\n"
    )
    assert [list(item.images) for item in cases] == [["image"]]
    assert [(skip.case, skip.reason) for skip in skipped] == [("y", "channel_missing")]
