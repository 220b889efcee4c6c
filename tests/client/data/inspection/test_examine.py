import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.data import formats, layouts
from client.data.cures import cure
from client.data.inspection.examine import examine
from client.data.inspection.facts import CaseFacts
from client.data.inspection.measures import SAMPLED, counts_of, intensity_of, pixel_digest
from client.data.layouts.base import Listed
from client.data.points_table import read_points
from client.data.volumes import Volume
from tests.client.data.formats.samples import write_by_itk
from tests.client.data.layouts.trees import TREES, write_ucsb, write_vessel12
from tests.client.data.scans import affine_of, picture, write_scan


def listed(folder: Path) -> list[Listed]:
    return layouts.find(folder, None).list_cases(folder, require_label=False)[0]


@pytest.mark.parametrize("name", TREES)
def test_every_layout_is_examined_without_a_fault(name: str, tmp_path: Path) -> None:
    made = TREES[name][1](tmp_path)
    facts = [examine(item).facts for item in listed(tmp_path)]
    assert {one.case: one.patient for one in facts} == dict(made.cases)
    for one in facts:
        assert one.fault is None
        assert one.label is not None
        assert one.label.kind == made.label_kind
        assert not one.label.is_empty
        assert (one.region is not None) == made.regions
        names = ("red", "green", "blue") if name == "ucsb" else made.channels
        assert tuple(channel.channel for channel in one.channels) == names


@pytest.mark.parametrize(
    ("name", "modalities"),
    [
        ("brats_nifti", ["t1", "t1ce", "t2", "flair"]),
        ("ucsb", ["RGB"] * 3),
        ("dicom_series with SEG", ["CT"]),
        ("nnunet_raw", ["CT", "PET"]),
        ("folders", [None]),
    ],
)
def test_the_modality_is_told_where_the_data_say_it(
    name: str, modalities: list[str | None], tmp_path: Path
) -> None:
    TREES[name][1](tmp_path, 1)
    assert [channel.modality for channel in examine(listed(tmp_path)[0]).facts.channels] == modalities


def one_case(folder: Path, **changes: object) -> Listed:
    """One good pair of files, ready to be damaged."""
    image, label = picture(0)
    for name, array in (("image", image), ("label", label)):
        write_scan(folder / f"{name}.nii.gz", array)
    values = {"case": "one", "images": {"image": folder / "image.nii.gz"}, "label": folder / "label.nii.gz"}
    return Listed(**{**values, **changes})  # type: ignore[arg-type]


def test_the_facts_are_those_of_the_voxels(tmp_path: Path) -> None:
    image, label = picture(3, (6, 7, 8))
    affine = affine_of(0.5, 1, 2)
    write_scan(tmp_path / "image.nii.gz", image, affine, axes="LIP")
    write_scan(tmp_path / "label.nii.gz", label, affine, axes="LIP")
    item = Listed("one", {"image": tmp_path / "image.nii.gz"}, tmp_path / "label.nii.gz")
    facts = examine(item).facts
    (channel,) = facts.channels
    assert (channel.shape, channel.orientation, channel.dtype) == ((6, 8, 7), "LIP", "float32")
    assert channel.spacing_mm == pytest.approx((0.5, 2, 1))
    assert channel.intensity is not None
    assert list(channel.intensity.model_dump().values()) == pytest.approx(
        np.percentile(image, [0, 0.5, 50, 99.5, 100]).tolist()
    )
    assert facts.label is not None
    expected = {v: (int((label == v).sum()), (label == v).sum() * 1e-3) for v in np.unique(label).tolist()}
    assert {v.value: (v.count, pytest.approx(v.ml)) for v in facts.label.values} == expected


def test_a_segmentation_names_its_values(tmp_path: Path) -> None:
    TREES["dicom_series with SEG"][1](tmp_path, 1)
    label = examine(listed(tmp_path)[0]).facts.label
    assert label is not None
    assert {value.value: value.name for value in label.values} == {0: None, 1: "organ", 2: "tumour"}


def test_a_photograph_has_pixels_and_no_ml(tmp_path: Path) -> None:
    write_ucsb(tmp_path, 1)
    label = examine(listed(tmp_path)[0]).facts.label
    assert label is not None
    assert [value.ml for value in label.values] == [None, None]


def rewrite(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        image, label = picture(0)
        array = change({"image": image, "label": label.astype(np.float32)}[name])
        write_scan(folder / f"{name}.nii.gz", array)

    return damage


def with_nan(array: np.ndarray) -> np.ndarray:
    array[1, 2, 3] = np.nan
    return array


def cut_off(folder: Path) -> None:
    path = folder / "image.nii.gz"
    path.write_bytes(path.read_bytes()[:-500])


DAMAGES: dict[str, tuple[Callable[[Path], None], str, int]] = {
    "a label of another shape": (rewrite("label", lambda a: a[:-1]), "shape_mismatch", 1),
    "an image with a NaN": (rewrite("image", with_nan), "not_finite", 1),
    "an image of nothing but NaN": (rewrite("image", lambda a: a * np.nan), "not_finite", 1),
    "a label with a NaN": (rewrite("label", with_nan), "not_finite", 1),
    "a label of fractions": (rewrite("label", lambda a: a / 2), "label_values", 1),
    "a blank image": (rewrite("image", np.zeros_like), "empty_image", 1),
    "an image that is cut off": (cut_off, "unreadable", 0),
    "an image that is gone": (lambda folder: (folder / "image.nii.gz").unlink(), "unreadable", 0),
    "a label that is gone": (lambda folder: (folder / "label.nii.gz").unlink(), "unreadable", 1),
    "a label elsewhere": (
        lambda folder: (write_scan(folder / "label.nii.gz", picture(0)[1], affine_of(1, 1, 1.5)), None)[1],
        "affine_mismatch",
        1,
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_case_is_named_with_its_cure_and_keeps_what_was_read(damage: str, tmp_path: Path) -> None:
    item = one_case(tmp_path)
    break_it, reason, channels = DAMAGES[damage]
    break_it(tmp_path)
    found = examine(item, draw=True)
    assert found.facts.fault is not None
    assert (found.facts.fault.case, found.facts.fault.reason) == ("one", reason)
    assert found.facts.fault.cure == cure(reason)
    assert found.facts.fault.detail
    assert len(found.facts.channels) == channels
    assert len(found.pictures) == 3 * channels
    assert CaseFacts.model_validate_json(found.facts.model_dump_json()) == found.facts


def test_a_missing_label_is_a_fault_and_a_window_without_a_mark_too(tmp_path: Path) -> None:
    facts = examine(one_case(tmp_path, label=None)).facts
    assert facts.fault is not None
    assert facts.fault.reason == "label_missing"
    rewrite("label", np.zeros_like)(tmp_path)
    assert examine(one_case(tmp_path)).facts.fault is None
    rewrite("label", np.zeros_like)(tmp_path)
    empty = Listed("one", {"image": tmp_path / "image.nii.gz"}, tmp_path / "label.nii.gz", "window")
    fault = examine(empty).facts.fault
    assert fault is not None
    assert fault.reason == "empty_label"


def test_channels_lie_on_one_grid(tmp_path: Path) -> None:
    item = one_case(tmp_path)
    write_scan(tmp_path / "late.nii.gz", picture(1, (9, 10, 12))[0])
    fault = examine(Listed("one", {**item.images, "late": tmp_path / "late.nii.gz"}, item.label)).facts.fault
    assert fault is not None
    assert fault.reason == "shape_mismatch"
    assert "late image" in fault.detail


def test_an_error_that_nobody_foresaw_is_a_fault_of_the_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("odd file")

    monkeypatch.setattr(formats, "read", fail)
    fault = examine(one_case(tmp_path)).facts.fault
    assert fault is not None
    assert fault.reason == "unreadable"
    assert "odd file" in fault.detail


def test_two_numbers_a_voxel_are_two_channels(tmp_path: Path) -> None:
    item = one_case(tmp_path)
    both = np.stack([picture(1)[0], picture(2)[0]])
    path = write_by_itk(tmp_path / "both.mha", both, affine_of(1, 1, 1))
    facts = examine(Listed("one", {"image": path}, item.label, components=("t1", "t2"))).facts
    assert facts.fault is None
    assert [(one.channel, one.shape) for one in facts.channels] == [("t1", (9, 10, 11)), ("t2", (9, 10, 11))]
    for channel, array in zip(facts.channels, both, strict=True):
        assert channel.intensity is not None
        assert channel.intensity.highest == array.max()


@settings(max_examples=30, deadline=None)
@given(
    axes=st.permutations(["RL", "AP", "SI"]).flatmap(lambda pairs: st.tuples(*map(st.sampled_from, pairs))),
    seed=st.integers(0, 5),
)
def test_the_digest_is_that_of_the_picture_however_it_is_stored(
    axes: tuple[str, ...], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    image = picture(seed)[0]
    image[0] = 0
    path = tmp_path_factory.mktemp("stored")
    affine = affine_of(0.7, 1, 2.5)
    digests = {
        pixel_digest(volume.array, volume.affine)
        for volume in (
            formats.read(write_scan(path / "a.nii.gz", image, affine, axes="".join(axes))),
            formats.read(write_by_itk(path / "b.mha", image, affine)),
            Volume(np.where(image == 0, np.float32(-0.0), image), affine),
        )
    }
    assert len(digests) == 1
    changed = image.copy()
    changed[seed, 0, 0] += 1
    assert pixel_digest(changed, affine) not in digests
    assert pixel_digest(image, affine_of(0.7, 1, 2.6)) not in digests


def test_percentiles_of_a_large_scan_are_of_a_fair_sample() -> None:
    array = np.arange(2 * SAMPLED, dtype=np.float32).reshape(64, -1, 64)
    found = intensity_of(array)
    assert found is not None
    assert (found.lowest, found.highest) == (0, array.max())
    for value, percent in ((found.p0_5, 0.5), (found.p50, 50), (found.p99_5, 99.5)):
        assert value == pytest.approx(np.percentile(array, percent), abs=0.005 * array.size)
    assert intensity_of(array) == found


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_label_values_are_counted(seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 5, (3, 4, 5)).astype(np.int32)
    found, counts = np.unique(values, return_counts=True)
    assert counts_of(values) == list(zip(found.tolist(), counts.tolist(), strict=True))


def test_points_are_read_with_or_without_a_header(tmp_path: Path) -> None:
    table = tmp_path / "points.csv"
    table.write_text("x,y,z,label\n1,2,3,0\n\n4, 5, 6, 1\n")
    assert read_points(table, (9, 9, 9)).tolist() == [[1, 2, 3, 0], [4, 5, 6, 1]]
    table.write_text("1,2,3,1\n")
    assert read_points(table, (9, 9, 9)).tolist() == [[1, 2, 3, 1]]


@pytest.mark.parametrize(
    "row", ["9,0,0,1", "-1,0,0,1", "0,0,0,-1", "0.5,0,0,1", "1,2,3", "1,2,3,x", "1,2,3,1,1"]
)
def test_a_point_that_is_none_is_named_by_its_line(row: str, tmp_path: Path) -> None:
    write_vessel12(tmp_path, 1)
    table = next(tmp_path.rglob("*.csv"))
    table.write_text(f"0,0,0,1\n{row}\n")
    fault = examine(listed(tmp_path)[0]).facts.fault
    assert fault is not None
    assert fault.reason == "label_values"
    assert "line 2" in fault.detail


def test_a_header_that_declares_gigabytes_is_refused_before_memory_is_set_aside(tmp_path: Path) -> None:
    item = one_case(tmp_path)
    path = tmp_path / "image.nii"
    write_scan(path, picture(0)[0])
    content = bytearray(path.read_bytes()[:377])
    content[42:48] = np.array([2000, 2000, 1200], "<i2").tobytes()
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fault = examine(Listed("one", {"image": path}, item.label)).facts.fault
    assert fault is not None
    assert fault.reason == "too_large"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16  # KiB
