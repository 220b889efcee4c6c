"""What came in, unpacked and sorted; and which of it are scans."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest

from client.data.formats import DEFAULT
from client.data.importing.pseudonyms import Pseudonyms
from client.uploads.checking import Known, found_in
from client.uploads.records import Found
from client.uploads.sorting import sorted_entries
from tests.client.data.scans import write_scan
from tests.client.predict.readings import AFFINES, STUDY, dicom_series, scene

BYTES = 10**9


def known(tmp_path: Path) -> Known:
    return Known(lambda _: set(), frozenset(), Pseudonyms(b"0" * 32, tmp_path / "names.csv"))


def checked(tmp_path: Path, most_bytes: int = BYTES) -> list[Found]:
    entries, refused = sorted_entries(tmp_path / "incoming", tmp_path / "scans", most_bytes=most_bytes)
    return [*found_in(entries, STUDY.task, DEFAULT, known(tmp_path)), *refused]


def told(found: list[Found]) -> dict[str, str | None]:
    return {one.sent: one.reason for one in found}


def series(folder: Path, uid: str) -> Path:
    for path in dicom_series(folder, AFFINES["straight"]).iterdir():
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID = uid
        dataset.save_as(path)
    return folder


def two_series_in_one_folder(folder: Path) -> None:
    folder.mkdir(parents=True)
    for uid in ("1.2.1", "1.2.2"):
        for path in sorted(series(folder.parent / "tmp", uid).iterdir()):
            path.rename(folder / f"{uid}-{path.name}")
        shutil.rmtree(folder.parent / "tmp")


@pytest.mark.parametrize("where", ["incoming", "incoming/disc/DICOM"])
def test_series_that_share_a_folder_are_read_each_for_itself(where: str, tmp_path: Path) -> None:
    two_series_in_one_folder(tmp_path / where)
    if where != "incoming":
        (tmp_path / "incoming/disc/autorun.inf").write_text("x")
    found = checked(tmp_path)
    scans = [one.listed for one in found if one.listed is not None]
    assert len(scans) == 2
    assert [len(list(next(iter(scan.images.values())).iterdir())) for scan in scans] == [10, 10]
    assert [one.reason for one in found if one.listed is None] == ["not_a_scan"] * (where != "incoming")


def test_each_file_that_was_sent_is_told_of(tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    write_scan(incoming / "a.nii.gz", scene())
    write_scan(incoming / "deep/one/b.nii.gz", scene())
    series(incoming / "ct", "1.2.1")
    (incoming / "ct" / "readme.txt").write_text("x")
    (incoming / "c.nrrd").write_bytes(b"NRRD0004")
    (incoming / "d.img").write_bytes(b"voxels")
    (incoming / "e.xlsx").write_bytes(b"table")
    (incoming / "empty").mkdir()
    with zipfile.ZipFile(incoming / "two.zip", "w") as archive:
        archive.writestr("f.txt", "x")
    with zipfile.ZipFile(incoming / "inside.zip", "w") as archive:
        archive.write(incoming / "a.nii.gz", "x/g.nii.gz")
    found = checked(tmp_path)
    assert sorted((one.sent, one.reason) for one in found if one.reason) == [
        ("c.nrrd", "unsupported_format"),
        ("ct", "not_a_scan"),  # the text beside the series
        ("d.img", "header_missing"),
        ("deep", "not_in_layout"),
        ("e.xlsx", "not_a_scan"),
        ("empty", "not_a_scan"),
        ("two.zip", "not_a_scan"),
    ]
    assert sorted(one.sent for one in found if one.listed) == ["a.nii.gz", "ct", "inside.zip"]


def test_two_scans_of_one_name_are_not_both_read(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        image = scene()
        image[0, 0, 0] = number == 3
        path = write_scan(tmp_path / "x.nii", image)
        with zipfile.ZipFile(tmp_path / f"{number}.zip", "w") as archive:
            archive.write(path, "x.nii")
    (tmp_path / "incoming").mkdir()
    for number in (1, 2, 3):
        (tmp_path / f"{number}.zip").rename(tmp_path / "incoming" / f"{number}.zip")
    details = {one.sent: one.detail for one in checked(tmp_path)}
    assert details["1.zip"] is None
    assert "twice" in str(details["2.zip"])
    assert "Rename one" in str(details["3.zip"])


def test_archives_unpack_to_no_more_than_one_upload_may_have(tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir()
    for name in ("a", "b"):
        with zipfile.ZipFile(tmp_path / "incoming" / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.nii", bytes(600))
    found = checked(tmp_path, most_bytes=1000)
    assert told(found)["b.zip"] == "archive_refused"
    assert "600 bytes, expected at most 400" in str(found[-1].detail)


@pytest.mark.parametrize("after", range(1, 6))
def test_a_kill_while_sorting_loses_nothing(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    incoming = tmp_path / "incoming"
    write_scan(incoming / "a.nii.gz", scene())
    write_scan(incoming / "b.nii.gz", scene() + np.int16(1))
    series(incoming / "ct", "1.2.1")
    with zipfile.ZipFile(incoming / "c.zip", "w") as archive:
        archive.write(incoming / "a.nii.gz", "c.nii.gz")
    moves, rename = 0, Path.rename

    def killed(self: Path, target: Path) -> Path:
        nonlocal moves
        moves += 1
        if moves == after:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        try:
            sorted_entries(incoming, tmp_path / "scans", most_bytes=BYTES)
        except KeyboardInterrupt:
            assert moves == after
    found = checked(tmp_path)
    assert sorted(one.sent for one in found) == ["a.nii.gz", "b.nii.gz", "c.zip", "ct"]
    assert all(one.listed for one in found)
