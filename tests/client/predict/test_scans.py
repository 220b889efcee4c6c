"""Which scans files and folders are."""

from pathlib import Path

import numpy as np
import pytest

from client.predict.scans import list_scans
from shared.errors import DataError
from tests.client.data.formats.dicoms import write_seg
from tests.client.data.layouts.trees import TREES
from tests.client.data.scans import picture, write_scan
from tests.client.predict.readings import AFFINES, boxes, dicom_multiframe, dicom_series


def cases(*paths: Path, layout: str | None = None) -> list[str]:
    return [item.case for item in list_scans(paths, layout)[0]]


def reasons(*paths: Path) -> dict[str, str]:
    return {skip.case: skip.reason for skip in list_scans(paths, None)[1]}


@pytest.mark.parametrize("name", TREES)
def test_every_layout_gives_its_scans(name: str, tmp_path: Path) -> None:
    layout, write = TREES[name]
    write(tmp_path)
    assert len(cases(tmp_path)) == 3
    assert cases(tmp_path, layout=layout) == cases(tmp_path)


def test_a_scan_without_a_label_is_a_scan(tmp_path: Path) -> None:
    write_scan(tmp_path / "images" / "a.nii.gz", picture(0)[0])
    assert cases(tmp_path) == ["a"]
    assert not reasons(tmp_path)


def test_a_file_is_called_by_its_name(tmp_path: Path) -> None:
    path = write_scan(tmp_path / "some.one.nii.gz", picture(0)[0])
    (item,), _ = list_scans([path], None)
    assert (item.case, dict(item.images), item.label) == ("some.one", {"image": path}, None)


def test_loose_files_of_a_folder_are_a_scan_each(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_scan(tmp_path / f"{name}.nii.gz", picture(0)[0])
    write_scan(tmp_path / "deeper" / "c.nii.gz", picture(0)[0])
    assert cases(tmp_path) == ["a", "b"]
    assert reasons(tmp_path) == {"deeper/c.nii.gz": "not_in_layout"}


def test_a_dicom_series_is_one_scan_and_says_no_name(tmp_path: Path) -> None:
    folder = dicom_series(tmp_path / "Smith^Jane", AFFINES["straight"])
    one = dicom_multiframe(tmp_path / "other" / "Smith.dcm", AFFINES["straight"])
    for path in (folder, one):
        (item,), _ = list_scans([path], None)
        assert item.case.startswith("series-")
        assert item.patient is not None
        assert "nobody" not in item.patient
    assert cases(folder) == cases(folder, folder)


def test_what_is_no_scan_is_told_by_name(tmp_path: Path) -> None:
    seg = write_seg(tmp_path, boxes((6, 7, 3)) | np.eye(6, 7, dtype=np.uint8)[..., None], AFFINES["straight"])
    text = tmp_path / "notes.txt"
    text.write_text("no scan")
    found = reasons(seg, text, tmp_path / "absent.nii.gz")
    assert found == {"seg.dcm": "not_an_image", "notes.txt": "unreadable", "absent.nii.gz": "unreadable"}


def test_two_files_of_one_name_are_told_and_the_same_file_twice_is_read_once(tmp_path: Path) -> None:
    first, other = (write_scan(tmp_path / name / "a.nii.gz", picture(0)[0]) for name in ("x", "y"))
    assert cases(first, first) == ["a"]
    assert not reasons(first, first)
    assert cases(first, other) == ["a"]
    assert reasons(first, other) == {"a": "duplicate_case"}


def test_a_layout_that_is_not_there_is_refused(tmp_path: Path) -> None:
    write_scan(tmp_path / "a.nii.gz", picture(0)[0])
    with pytest.raises(DataError, match="lits"):
        cases(tmp_path, layout="lits")
