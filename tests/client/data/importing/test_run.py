"""Every layout is imported whole, and what is there already is not read again."""

import csv
import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from client.data import formats, layouts
from client.data.importing.case import Done, Job
from client.data.importing.case import imported as one_imported
from client.data.importing.records import Report
from client.data.layouts.base import Listed
from client.data.volumes import Volume
from client.data.workers import each
from shared.errors import ConfigError, DataError
from tests.client.data.formats.samples import read_by_itk
from tests.client.data.importing.imports import (
    assert_same,
    imported,
    label_of,
    listed_in,
    original_of,
    snapshot,
)
from tests.client.data.layouts.trees import TREES, write_folders
from tests.client.data.scans import picture, write_case, write_scan


def source_cases(name: str, folder: Path) -> dict[str, Listed]:
    TREES[name][1](folder)
    listed, _ = layouts.find(folder, None).list_cases(folder)
    return {item.case: item for item in listed}


@pytest.mark.parametrize("name", TREES)
def test_every_layout_is_imported_to_the_voxel(name: str, tmp_path: Path) -> None:
    before = source_cases(name, tmp_path / "data")
    done = imported(tmp_path / "data", tmp_path / "out")
    after, names = listed_in(tmp_path / "out"), original_of(tmp_path / "out")
    assert done.report.layout == TREES[name][0]
    assert sorted(names[case] for case in after) == sorted(before)
    for case, item in after.items():
        source = before[names[case]]
        if name == "ucsb":
            assert list(item.images) == ["red", "green", "blue"]
            whole = formats.read(source.images["image"])
            sources = [type(whole)(part, whole.affine) for part in whole.array]
        else:
            assert list(item.images) == list(source.images)
            sources = [formats.read(path) for path in source.images.values()]
        for path, volume in zip(item.images.values(), sources, strict=True):
            assert_same(formats.read(path), volume)
        assert item.label
        assert item.label_kind == source.label_kind
        assert (item.patient and names[item.patient]) == source.patient
        if item.label_kind != "points":
            assert_same(formats.read(item.label), label_of(source))
        if source.region:
            assert item.region
            assert_same(formats.read(item.region), formats.read(source.region))


def test_points_stay_on_their_voxels_when_the_image_is_turned(tmp_path: Path) -> None:
    image, _label = picture(1)
    write_scan(tmp_path / "data/a.nii", image, axes="SPL")
    stored = formats.read(tmp_path / "data/a.nii").array
    points = np.argwhere(stored == image[3, 4, 5]).tolist() + np.argwhere(stored == image[8, 0, 2]).tolist()
    rows = "".join(f"{x},{y},{z},{value}\n" for (x, y, z), value in zip(points, (1, 0), strict=True))
    (tmp_path / "data/p.csv").write_text(f"x,y,z,label\n{rows}")
    (tmp_path / "data/manifest.csv").write_text("case,image,label,label_kind\nc,a.nii,p.csv,points\n")
    imported(tmp_path / "data", tmp_path / "out")
    (item,) = listed_in(tmp_path / "out").values()
    assert item.label
    assert item.label.read_text() == "3,4,5,1\n8,0,2,0\n"


def test_a_header_is_clean_and_the_same_voxels_are_the_same_bytes(tmp_path: Path) -> None:
    image, label = picture(1)
    for name in ("a", "b"):
        write_scan(tmp_path / f"data/labels/{name}.nii.gz", label.astype(np.float32), axes="LAS")
        path = write_scan(tmp_path / f"data/images/{name}.nii.gz", np.rint(image), axes="LAS")
        loaded = nib.load(path)
        loaded.header["descrip"], loaded.header["db_name"] = f"Nobody {name}", b"secret"
        nib.save(nib.Nifti1Image(np.asanyarray(loaded.dataobj), loaded.affine, loaded.header), path)
    done = imported(tmp_path / "data", tmp_path / "out")
    contents = [path.read_bytes() for path in sorted((tmp_path / "out/images").iterdir())]
    assert contents[0] == contents[1]
    assert contents[0][3:8] == b"\0" * 5  # gzip: no flags, so no name, and no time
    header = nib.load(next((tmp_path / "out/images").iterdir())).header
    assert header.get_data_dtype() == np.uint8
    assert (header["descrip"], header["db_name"], header["aux_file"]) == (b"", b"", b"")
    assert (header["qform_code"], header["sform_code"], header.get_xyzt_units()[0]) == (1, 1, "mm")
    np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-5)
    assert done.report.same_pixels == (tuple(sorted(done.report.cases)),)
    (record, _) = done.report.cases.values()
    steps = {file.kind: file.steps for file in record.files.values()}
    assert steps["image"]
    assert (steps["image"].turned_from, steps["image"].dtype) == ("LAS", "uint8")
    assert steps["label"]
    assert (steps["label"].stored, steps["label"].dtype) == ("float32", "uint8")


def test_a_second_import_reads_no_scan_and_changes_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source_cases("ucsb", tmp_path / "data")
    write_table(tmp_path / "data/patients.csv", [["patient", "case", "age"]])
    imported(tmp_path / "data", tmp_path / "out")
    before = snapshot(tmp_path / "out")
    monkeypatch.setattr(formats, "read", lambda *_: pytest.fail("a scan was decoded again"))
    done = imported(tmp_path / "data", tmp_path / "out")
    assert (len(done.unchanged), done.written, done.removed) == (3, (), ())
    assert snapshot(tmp_path / "out") == before


def test_only_what_changed_is_done_again_and_what_vanished_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_folders(data, 4)
    first = imported(data, out)
    pseudonym = {name: key for key, name in original_of(out).items()}
    write_case(data, "case-1", seed=77)
    (data / "images/case-2.nii.gz").unlink()
    (data / "labels/case-2.nii.gz").unlink()
    (out / f"labels/{pseudonym['case-3']}.nii.gz").write_bytes(b"damaged")
    (out / "images/case-mine.txt").touch()
    read: list[Path] = []
    real = formats.read

    def counted(path: Path) -> Volume:
        read.append(path)
        return real(path)

    monkeypatch.setattr(formats, "read", counted)
    done = imported(data, out)
    assert done.removed == (pseudonym["case-2"],)
    assert done.unchanged == (pseudonym["case-0"],)
    assert set(done.written) == {pseudonym["case-1"], pseudonym["case-3"]}
    assert {path.name for path in read} == {"case-1.nii.gz", "case-3.nii.gz"}
    assert not list(out.rglob(f"*{pseudonym['case-2']}*"))
    assert (out / "images/case-mine.txt").exists()
    (out / "images/case-mine.txt").unlink()
    assert set(listed_in(out)) == set(first.report.cases) - {pseudonym["case-2"]}
    (tmp_path / "new.key").write_bytes((tmp_path / "out.key").read_bytes())
    (tmp_path / "new.key").chmod(0o600)
    imported(data, tmp_path / "new")
    assert snapshot(tmp_path / "new") == snapshot(out)


def test_the_manifest_never_names_a_case_that_is_being_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_folders(data, 3)
    imported(data, out)
    pseudonym = {name: key for key, name in original_of(out).items()}
    write_case(data, "case-1", seed=77)
    seen: list[set[str]] = []

    def looked_at(job: Job) -> Done:
        seen.append(set(listed_in_part(out)))
        return one_imported(job)

    monkeypatch.setattr("client.data.importing.run.imported", looked_at)
    imported(data, out)
    assert seen == [{pseudonym["case-0"], pseudonym["case-2"]}]
    assert len(listed_in(out)) == 3


def listed_in_part(folder: Path) -> list[str]:
    listed, _ = layouts.find(folder, "manifest").list_cases(folder)
    return [item.case for item in listed]


def test_a_full_disk_ends_the_run_and_not_one_case_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folders(tmp_path / "data", 3)
    calls: list[Path] = []

    def full(path: Path, *_rest: object) -> None:
        calls.append(path)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("client.data.importing.case.write_canonical", full)
    with pytest.raises(DataError, match="No space left"):
        imported(tmp_path / "data", tmp_path / "out")
    assert len(calls) == 1
    monkeypatch.undo()
    assert len(imported(tmp_path / "data", tmp_path / "out").written) == 3


def test_processes_write_what_one_writes(tmp_path: Path) -> None:
    write_folders(tmp_path / "data", 5)
    imported(tmp_path / "data", tmp_path / "one")
    imported(tmp_path / "data", tmp_path / "two", workers=2, key=tmp_path / "one.key")
    assert snapshot(tmp_path / "two") == snapshot(tmp_path / "one")
    assert (
        len(imported(tmp_path / "data", tmp_path / "two", workers=2, key=tmp_path / "one.key").unchanged) == 5
    )


def dies_of(job: Job) -> str:
    if job.pseudonym == "b":
        os._exit(9)
    return job.pseudonym


def test_a_case_that_kills_its_process_is_the_only_one_without_a_result(tmp_path: Path) -> None:
    jobs = [Job(Listed(name, {}, None), name, tmp_path) for name in "abc"]
    found = {job.pseudonym: result for job, result in each(dies_of, jobs, 2)}
    assert found == {"a": "a", "b": None, "c": "c"}


def test_bad_cases_are_left_out_by_reason_and_none_ends_the_run(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_folders(data, 2)
    image, label = picture(5)
    bad = {
        "nan": (np.where(image > 150, np.nan, image), label),
        "constant": (np.ones_like(image), label),
        "fraction": (image, label * np.float32(0.5)),
        "shape": (image, label[:-1]),
    }
    for name, (one, other) in bad.items():
        write_scan(data / f"images/{name}.nii.gz", one.astype(np.float32))
        write_scan(data / f"labels/{name}.nii.gz", other)
    write_case(data, "cut", seed=3)
    cut = data / "images/cut.nii.gz"
    cut.write_bytes(cut.read_bytes()[:-200])
    write_scan(data / "images/alone.nii.gz", image)
    done = imported(data, tmp_path / "out")
    assert {skip.case: skip.reason for skip in done.left_out} == {
        "nan": "not_finite", "constant": "empty_image", "fraction": "label_values",
        "shape": "shape_mismatch", "cut": "unreadable", "alone": "label_missing",
    }  # fmt: skip
    assert len(listed_in(tmp_path / "out")) == 2
    assert {file.name for file in (tmp_path / "out/labels").iterdir()} == {
        f"{case}.nii.gz" for case in done.report.cases
    }
    again = Report.model_validate_json((tmp_path / "out/import.json").read_bytes())
    assert again == done.report
    assert sorted(left.reason for left in again.left_out) == sorted(skip.reason for skip in done.left_out)


def test_a_channel_may_be_called_anything_and_stays_in_the_folder(tmp_path: Path) -> None:
    image, label = picture(1)
    for name in ("a", "b", "c"):
        write_scan(tmp_path / f"data/{name}.nii", label if name == "c" else image)
    table = "case,../../T1 x,..+..+T1-x,label\nx,a.nii,b.nii,c.nii\n"
    (tmp_path / "data/manifest.csv").write_text(table)
    imported(tmp_path / "data", tmp_path / "out")
    (item,) = listed_in(tmp_path / "out").values()
    assert list(item.images) == ["../../T1 x", "..+..+T1-x"]
    assert len(set(item.images.values())) == 2


def test_what_could_destroy_data_or_mix_imports_is_refused(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_folders(data, 1)
    for source, dest in ((data, data), (data, data / "out"), (data / "images", data), (data / "gone", out)):
        with pytest.raises(ConfigError):
            imported(source, dest)
    with pytest.raises(ConfigError, match="handed on"):
        imported(data, out, key=out / "key")
    mine = tmp_path / "mine"
    (mine / "images").mkdir(parents=True)
    with pytest.raises(ConfigError, match="holds images and no import"):
        imported(data, mine)
    imported(data, out)
    with pytest.raises(ConfigError, match="another key"):
        imported(data, out, key=tmp_path / "other.key")
    shutil.rmtree(data)
    data.mkdir()
    before = snapshot(out)
    with pytest.raises(DataError):
        imported(data, out)  # as where a disk is not mounted
    assert snapshot(out) == before


def start(data: Path, out: Path, workers: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "wardround", "data", "import", str(data), str(out)]
    return subprocess.Popen(
        [*command, "--quiet", "--workers", str(workers)],
        stderr=subprocess.DEVNULL,
        # Tests that a shell started in the background ignore ctrl-C, and what they start would as well.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )


@pytest.mark.parametrize(
    ("how", "after", "workers"),
    [(signal.SIGKILL, 0, 1), (signal.SIGKILL, 7, 1), (signal.SIGKILL, 3, 2), (signal.SIGINT, 5, 2)],
)
def test_an_import_that_is_killed_goes_on_and_ends_with_the_same_bytes(
    how: signal.Signals, after: int, workers: int, tmp_path: Path
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_folders(data, 24)
    journal = out / ".import.jsonl"
    process = start(data, out, workers)
    deadline = time.monotonic() + 120
    while not (journal.exists() and journal.read_text().count('"case"') >= after):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(how)
    process.wait(60)
    assert journal.exists()
    assert not (out / "manifest.csv").exists()
    if how == signal.SIGINT:
        assert not list(out.rglob("*.tmp"))
    while True:  # the workers see their parent go
        try:
            done = imported(data, out)
            break
        except DataError:
            assert time.monotonic() < deadline
    assert len(done.unchanged) >= after
    assert len(done.written) > 0
    imported(data, tmp_path / "whole", key=tmp_path / "out.key")
    assert snapshot(out) == snapshot(tmp_path / "whole")


def test_two_imports_into_one_folder_do_not_mix(tmp_path: Path) -> None:
    write_folders(tmp_path / "data", 1)
    imported(tmp_path / "data", tmp_path / "out")
    with (tmp_path / "out/.import.lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another import"):
            imported(tmp_path / "data", tmp_path / "out")


def write_table(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.mark.real_data
def test_real_dicom_is_imported_as_simpleitk_reads_it(real_data: Path, tmp_path: Path) -> None:
    done = imported(real_data / "dicom", tmp_path / "out")
    (item,) = listed_in(tmp_path / "out").values()
    assert {skip.reason for skip in done.left_out} == {"label_missing"}
    found, affine = read_by_itk(item.images["image"])
    expected, source = read_by_itk(real_data / "dicom/ct_3slice")
    volume = formats.read(item.images["image"])
    assert_same(volume, Volume(expected.astype(np.float32), source))
    np.testing.assert_array_equal(found, volume.array)
    np.testing.assert_allclose(affine, volume.affine, atol=1e-4)
    assert item.label
    label = formats.read(item.label)
    assert label.array.sum() > 0
    series = Listed(
        "x", {"image": real_data / "dicom/ct_3slice"}, real_data / "dicom/ct_3slice_liver_seg.dcm"
    )
    assert_same(label, label_of(series))


@pytest.mark.real_data
def test_what_is_found_in_the_wild_is_imported_or_named(real_data: Path, tmp_path: Path) -> None:
    done = imported(real_data / "hippocampus_dirty", tmp_path / "out")
    assert len(listed_in(tmp_path / "out")) == 6
    assert {skip.case: skip.reason for skip in done.left_out} == {
        "hippocampus_010": "image_missing", "hippocampus_118": "label_missing",
    }  # fmt: skip
