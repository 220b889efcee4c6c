"""One site's histograms, against numpy on the raw values of its files."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from client.data import cache, formats, layouts
from client.data.cache import SiteData
from client.data.layouts.base import Listed
from client.data.preparing.intensity import foreground
from client.data.statistics import describe, measured
from shared.errors import CaseError
from shared.histograms import WHOLE
from shared.statistics import AXES, INTENSITY, OF_LABELLED_VOXELS, SHAPE, SIDE_MM, SPACING_MM, VOLUME_ML
from shared.study import Study, Task
from tests.client.data.layouts.trees import write_brats_nifti, write_decathlon, write_ucsb
from tests.client.data.scans import affine_of, picture, study, write_case, write_scan

STUDY = study(evaluation={"validation_fraction": 0.2, "test_fraction": 0.2})


def prepared(folder: Path, work: Path, of: Study = STUDY) -> SiteData:
    patients = folder / "patients.csv"
    return cache.prepare(
        folder,
        layout=None,
        patients_csv=patients if patients.exists() else None,
        study=of,
        cache_folder=work,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten cases of eight patients, stored in two orientations."""
    made = tmp_path / "data"
    rows = ["case,patient"]
    for number in range(10):
        write_case(made, f"case_{number}", number, axes=("RAS", "PIR")[number % 2])
        rows.append(f"case_{number},person_{number % 8}")
    (made / "patients.csv").write_text("\n".join(rows) + "\n")
    return made


def one(folder: Path) -> Listed:
    return layouts.find(folder, None).list_cases(folder, require_label=False)[0][0]


def test_the_quantiles_are_those_of_the_pooled_raw_values_to_the_bin(folder: Path, tmp_path: Path) -> None:
    data = prepared(folder, tmp_path / "work")
    found = describe(folder, layout=None, data=data, task=STUDY.task)
    values, weights = [], []
    scans: dict[str, list[str]] = {}
    for case in data.split("train"):
        scans.setdefault(case.patient, []).append(case.case)
    for cases in scans.values():
        for name in cases:
            image = np.asarray(nib.load(folder / "images" / f"{name}.nii.gz").dataobj, np.float32)
            inside = image[foreground(image)]
            values.append(inside)
            weights.append(np.full(inside.size, 1 / len(cases) / inside.size))
    pooled, weight = np.concatenate(values), np.concatenate(weights)
    assert int(found.sums["patients"]) == len(scans) < len(data.split("train"))
    order = np.argsort(pooled)
    upto = np.cumsum(weight[order]) / len(scans)
    for fraction in (0.01, 0.25, 0.5, 0.75, 0.99):
        exact = pooled[order][np.searchsorted(upto, fraction)]
        quantile = INTENSITY.quantile(found.sums["intensity"][0], fraction)
        assert quantile is not None
        assert quantile.low - 1e-3 <= exact <= quantile.high + 1e-3


def test_only_patients_that_train_are_counted(folder: Path, tmp_path: Path) -> None:
    data = prepared(folder, tmp_path / "work")
    train = {case.case for case in data.split("train")}
    assert train < {case.case for case in data.cases}
    expected = describe(folder, layout=None, data=data, task=STUDY.task).sums
    for case in data.cases:
        if case.case not in train:  # what is not read cannot be counted
            (folder / "images" / f"{case.case}.nii.gz").unlink()
    for kept in (tmp_path / "work").glob("*.statistics.json"):
        kept.unlink()
    found = describe(folder, layout=None, data=data, task=STUDY.task)
    assert found.unread == ()
    assert all((found.sums[name] == expected[name]).all() for name in expected.values)


def test_a_scan_says_what_is_known_of_it_by_hand(tmp_path: Path) -> None:
    image, label = picture(0)  # a box of 3 x 3 x 4 of the first class, 1 x 1 x 2 of the second beside it
    write_scan(tmp_path / "images" / "a.nii.gz", image, affine_of(1, 2, 3), axes="PIR")
    write_scan(tmp_path / "labels" / "a.nii.gz", label, affine_of(1, 2, 3), axes="PIR")
    scan = measured(one(tmp_path), STUDY.task)
    for axis, (side, voxels) in enumerate(zip((1, 2, 3), image.shape, strict=True)):
        assert (scan["spacing_mm"][axis] == WHOLE * SPACING_MM.count(side)).all(), AXES[axis]
        assert (scan["shape"][axis] == WHOLE * SHAPE.count(voxels)).all(), AXES[axis]
    for row, voxels in zip(scan["volume_ml"], (36, 2), strict=True):
        assert (row == WHOLE * VOLUME_ML.count(voxels * 6 / 1000)).all()
    assert scan["findings"][1] == WHOLE  # the two touch
    assert (scan["longest_side_mm"] == WHOLE * SIDE_MM.count(4 * 3.0)).all()
    shares = np.bincount(label.ravel()) / label.size
    assert np.abs(scan["class_share"] / WHOLE - shares).max() <= 1 / WHOLE
    exact = INTENSITY.count(image[label > 0]) / np.count_nonzero(label)
    assert np.abs(np.cumsum(scan[OF_LABELLED_VOXELS][0] / WHOLE - exact)).max() <= 1 / WHOLE


def test_findings_are_counted_apart_and_only_of_the_classes_that_are_findings(tmp_path: Path) -> None:
    image, label = picture(1)
    label[:] = 0
    label[0, 0, 0] = label[4, 4, 4] = label[5, 5, 5] = 1  # the last two touch at a corner
    label[8, 9, :] = 2
    write_scan(tmp_path / "images" / "a.nii.gz", image)
    write_scan(tmp_path / "labels" / "a.nii.gz", label)
    task = Task(classes=("head", "body"), finding=("head",))
    scan = measured(one(tmp_path), task)
    assert scan["findings"][2] == WHOLE
    assert (scan["longest_side_mm"] == WHOLE // 2 * SIDE_MM.count([1.0, 2.0])).all()
    assert measured(one(tmp_path), STUDY.task)["findings"][3] == WHOLE


def test_a_second_request_reads_no_scan(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = prepared(folder, tmp_path / "work")
    first = describe(folder, layout=None, data=data, task=STUDY.task)

    def read(*_: Any) -> Any:
        raise AssertionError("a scan was read again")

    monkeypatch.setattr(formats, "read_narrow", read)
    second = describe(folder, layout=None, data=data, task=STUDY.task)
    assert all((first.sums[name] == second.sums[name]).all() for name in first.sums.values)
    (tmp_path / "work" / f"{data.split('train')[0].key}.statistics.json").write_text('{"format": "other"}')
    assert [skip.reason for skip in describe(folder, layout=None, data=data, task=STUDY.task).unread]


def test_a_bad_case_is_named_and_the_others_are_counted(folder: Path, tmp_path: Path) -> None:
    data = prepared(folder, tmp_path / "work")
    first, second, *others = data.split("train")
    (folder / "images" / f"{first.case}.nii.gz").unlink()
    (folder / "images" / f"{second.case}.nii.gz").write_bytes(b"\x1f\x8b nothing")
    found = describe(folder, layout=None, data=data, task=STUDY.task)
    assert {(skip.case, skip.reason) for skip in found.unread} == {
        (first.case, "image_missing"),
        (second.case, "unreadable"),
    }
    assert int(found.sums["patients"]) == len({case.patient for case in others})


def test_channels_are_found_by_name_and_counted_each(tmp_path: Path) -> None:
    write_brats_nifti(tmp_path, 1)
    task = Task(channels=("flair", "t1ce"), classes=("tumour",), labels=((1, 2, 4),))
    item = one(tmp_path)
    scan = measured(item, task)
    for number, channel in enumerate(task.channels):
        image = formats.read(item.images[channel]).array
        exact = INTENSITY.count(image[foreground(image)])
        assert (np.flatnonzero(scan["intensity"][number]) == np.flatnonzero(exact)).all()
    with pytest.raises(CaseError, match="no channel ct") as missing:
        measured(item, Task(channels=("flair", "ct"), classes=("tumour",), labels=((1, 2, 4),)))
    assert missing.value.reason == "channel_missing"


def test_channels_on_another_grid_are_refused(tmp_path: Path) -> None:
    write_brats_nifti(tmp_path, 1)
    item = one(tmp_path)
    write_scan(item.images["t2"], picture(0, (9, 10, 12))[0])
    task = Task(channels=("flair", "t2"), classes=("tumour",), labels=((1, 2, 4),))
    with pytest.raises(CaseError, match="t2") as found:
        measured(item, task)
    assert found.value.reason == "shape_mismatch"


def test_of_a_labelled_window_nothing_outside_is_counted(tmp_path: Path) -> None:
    write_ucsb(tmp_path, 1)
    task = Task(channels=("red", "green", "blue"), classes=("cell",), labels=((255,),))
    scan = measured(one(tmp_path), task)
    assert scan["intensity"].sum(axis=1).tolist() == [WHOLE] * 3
    (label,) = (formats.read(path).array for path in [one(tmp_path).label] if path is not None)
    marked = np.argwhere(label)
    window = label[tuple(map(slice, marked.min(axis=0), marked.max(axis=0) + 1))]
    assert scan["class_share"][1] / WHOLE == pytest.approx((window > 0).mean(), abs=1e-6)
    assert (window > 0).mean() > 2 * (label > 0).mean()
    with pytest.raises(CaseError) as found:
        measured(one(tmp_path), Task(classes=("cell",), labels=((255,),)))
    assert found.value.reason == "unsupported_channels"


def test_no_file_is_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_decathlon(tmp_path, 1)
    item = one(tmp_path)
    read: list[Path | None] = []
    nifti = type(formats.find(next(iter(item.images.values()))))
    whole = nifti.read

    def counted(self: Any, path: Path, limits: formats.Limits) -> Any:
        read.append(path)
        return whole(self, path, limits)

    monkeypatch.setattr(nifti, "read", counted)
    measured(item, STUDY.task)
    assert read == [*item.images.values(), item.label]
