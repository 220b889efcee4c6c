import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset, uid

from client.data import formats
from client.data.formats import Limits
from client.data.formats.dicom_series import header_of_series, read_series, series_in
from shared.errors import CaseError
from tests.client.data.formats.dicoms import multiframe_of, save, slice_of, write_multiframe, write_series
from tests.client.data.formats.samples import oblique, picture, read_by_itk


def refused(path: Path) -> CaseError:
    with pytest.raises(CaseError) as caught:
        formats.read(path)
    return caught.value


def same_as_itk(path: Path) -> None:
    volume, (array, affine) = formats.read(path), read_by_itk(path)
    np.testing.assert_allclose(volume.array, array, rtol=1e-6)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-5)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["ct_3slice", "mr_hippocrop/Study1", "mr_hippocrop/Study2"])
def test_real_series_agree_with_simpleitk_to_the_voxel_and_the_affine(real_data: Path, name: str) -> None:
    folder = real_data / "dicom" / name
    folder = next((inner for inner in folder.iterdir() if inner.is_dir()), folder)
    volume, (array, affine) = formats.read(folder), read_by_itk(folder)
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32])
@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, -1), (-1, -1, -1)], ids=str)
def test_series_agree_with_simpleitk(tmp_path: Path, dtype: Any, flip: tuple[int, int, int]) -> None:
    scaling = tuple((1.0, -1024.0) for _ in range(7))  # SimpleITK applies one scaling to all
    write_series(tmp_path, picture(1, dtype), oblique(0.7, 0.9, 2.5, flip=flip, degrees=40), scaling=scaling)
    same_as_itk(tmp_path)


@pytest.mark.parametrize(
    "syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.RLELossless], ids=lambda one: one.name
)
def test_every_encoding_gives_the_same_series(tmp_path: Path, syntax: str) -> None:
    array = picture(2)
    write_series(tmp_path, array, oblique(1, 1, 1), syntax=syntax)
    np.testing.assert_array_equal(formats.read(tmp_path).array, array)


def test_each_slice_has_its_own_rescaling(tmp_path: Path) -> None:
    array = picture(3)
    scaling = tuple((0.5 + index, -10.0 * index) for index in range(7))
    slopes, intercepts = np.array(scaling).T
    write_series(tmp_path / "one", array, oblique(1, 1, 1), scaling=scaling)
    write_multiframe(tmp_path / "x.dcm", array, oblique(1, 1, 1), scaling=scaling)
    for path in (tmp_path / "one", tmp_path / "x.dcm"):
        np.testing.assert_allclose(formats.read(path).array, array * slopes + intercepts, rtol=1e-6)


def test_a_multi_frame_file_is_ordered_by_position_as_its_series_is(tmp_path: Path) -> None:
    array, affine = picture(4), oblique(0.7, 0.9, 2.5)
    path = write_multiframe(tmp_path / "x.dcm", array, affine)
    write_series(tmp_path / "series", array, affine)
    one, many = formats.read(path), formats.read(tmp_path / "series")
    np.testing.assert_array_equal(one.array, many.array)
    np.testing.assert_allclose(one.affine, many.affine, atol=1e-9)


def test_a_missing_slice_is_named_with_the_mm_found_and_expected(tmp_path: Path) -> None:
    paths = write_series(tmp_path, picture(5), oblique(1, 1, 2.5))
    for index in (3, 1):  # with six slices and with five
        paths[index].unlink()
        error = refused(tmp_path)
        assert error.reason == "missing_slice"
        assert "found 5.0000 mm" in str(error)
        assert "expected 2.5000 mm" in str(error)


def test_a_slice_that_is_there_twice_is_named(tmp_path: Path) -> None:
    paths = write_series(tmp_path, picture(6), oblique(1, 1, 2.5))
    shutil.copy(paths[2], tmp_path / "again.dcm")
    error = refused(tmp_path)
    assert error.reason == "duplicate_slice"
    assert "again.dcm" in str(error)
    assert "expected 2.5000 mm" in str(error)


def test_uneven_spacing_is_an_error_and_rounding_is_not(tmp_path: Path) -> None:
    array, affine = picture(7), oblique(1, 1, 2.5, degrees=0)
    write_series(tmp_path, array, affine)
    for index, move, expected in ((6, 0.1, None), (6, 0.7, "uneven_spacing"), (6, -0.7, "uneven_spacing")):
        odd = slice_of(array, affine, index)
        odd.ImagePositionPatient[2] = float(odd.ImagePositionPatient[2]) + move
        save(odd, tmp_path / f"{(index * 5 + 3) % 7}-{index}.dcm")
        if expected:
            assert refused(tmp_path).reason == expected
        else:
            formats.read(tmp_path)


def test_slices_of_another_orientation_spacing_shape_or_type_do_not_belong(tmp_path: Path) -> None:
    array, affine = picture(8), oblique(1, 1, 2.5)
    odd_ones = [
        slice_of(array, oblique(1, 1, 2.5, degrees=50), 6),
        slice_of(array, oblique(1.5, 1, 2.5), 6),
        slice_of(array[:-1], affine, 6),
        slice_of(array.astype(np.uint16), affine, 6),
    ]
    for odd in odd_ones:
        write_series(tmp_path, array, affine)
        save(odd, tmp_path / "5-6.dcm")
        assert refused(tmp_path).reason == "mixed_series"


def test_a_tilted_gantry_is_in_the_affine_and_a_stray_slice_is_refused(tmp_path: Path) -> None:
    array, affine = picture(9), oblique(1, 1, 2.5, degrees=0)
    for index in range(7):
        tilted = slice_of(array, affine, index)
        tilted.ImagePositionPatient[1] = float(tilted.ImagePositionPatient[1]) + 0.5 * index
        save(tilted, tmp_path / f"{index}.dcm")
    volume = formats.read(tmp_path)
    np.testing.assert_allclose(volume.affine[:3, 2], [0, -0.5, 2.5], atol=1e-6)
    assert "gantry" in formats.header(tmp_path).notes[0]
    stray = slice_of(array, affine, 3)
    stray.ImagePositionPatient[0] = float(stray.ImagePositionPatient[0]) + 50
    save(stray, tmp_path / "3.dcm")
    assert refused(tmp_path).reason == "mixed_series"


def test_two_series_in_a_folder_are_an_error_that_counts_them_and_each_can_be_read(tmp_path: Path) -> None:
    first, second = picture(10), picture(11)
    write_series(tmp_path, first, oblique(1, 1, 1))
    for index in range(3):
        other = slice_of(second, oblique(2, 2, 2), index)
        other.SeriesInstanceUID = "1.2.3"
        save(other, tmp_path / f"other{index}.dcm")
    error = refused(tmp_path)
    assert error.reason == "several_series"
    assert "2 series" in str(error)
    large, small = series_in(tmp_path, Limits())
    np.testing.assert_array_equal(read_series(large, tmp_path, Limits()).array, first)
    assert header_of_series(small, tmp_path, Limits()).shape == (9, 10, 3)


def test_what_is_no_image_is_counted_and_left_out_and_a_cut_off_slice_is_not(tmp_path: Path) -> None:
    paths = write_series(tmp_path, picture(12), oblique(1, 1, 1))
    (tmp_path / "LICENSE").write_text("a text")
    (tmp_path / ".hidden.dcm").write_text("left by a copy")
    report = Dataset()
    report.SOPClassUID, report.SOPInstanceUID = uid.BasicTextSRStorage, "1.2.4"
    report.SeriesInstanceUID = "1.2.5"
    report.file_meta = pydicom.dataset.FileMetaDataset()
    report.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    report.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    assert formats.header(tmp_path).notes == ("2 file(s) of the folder are no images and are left out",)
    whole = paths[-1].read_bytes()
    for length in (0, 100, 300, 500, len(whole) - 1):  # the last slice: no gap would tell
        paths[-1].write_bytes(whole[:length])
        assert refused(tmp_path).reason == "unreadable"


def test_one_slice_takes_its_thickness_or_says_that_it_assumes_one(tmp_path: Path) -> None:
    dataset = slice_of(picture(13), oblique(1, 1, 1), 0)
    dataset.SliceThickness = 3
    path = save(dataset, tmp_path / "x.dcm")
    np.testing.assert_allclose(np.linalg.norm(formats.read(path).affine[:3, 2]), 3)
    del dataset.SliceThickness
    save(dataset, path)
    assert "1 mm" in formats.header(path).notes[0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Rows": 0}, "unreadable"),
        ({"Rows": 65535}, "unreadable"),
        ({"BitsAllocated": 64}, "unsupported_type"),
        ({"BitsStored": 40}, "unreadable"),
        ({"PixelRepresentation": 7}, "unsupported_type"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "unsupported_type"),
        ({"PixelSpacing": ["0", "1"]}, "bad_affine"),
        ({"PixelSpacing": ["nan", "1"]}, "bad_affine"),
        ({"PixelSpacing": None}, "bad_affine"),
        ({"ImagePositionPatient": ["1", "2"]}, "bad_affine"),
        ({"ImagePositionPatient": ["inf", "2", "3"]}, "bad_affine"),
        ({"ImageOrientationPatient": ["1", "0", "0", "1", "0", "0"]}, "bad_affine"),
        ({"ImageOrientationPatient": None}, "bad_affine"),
        ({"RescaleSlope": "inf"}, "bad_affine"),
        ({"NumberOfFrames": -1}, "too_large"),
        ({"NumberOfFrames": 10**9}, "too_large"),
        ({"NumberOfFrames": 7}, "unreadable"),
    ],
)
def test_bad_fields_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], expected: str
) -> None:
    monkeypatch.setattr(pydicom.config.settings, "writing_validation_mode", pydicom.config.IGNORE)
    dataset = slice_of(picture(15), oblique(1, 1, 1), 0)
    for keyword, value in changes.items():
        vr = dataset[keyword].VR if keyword in dataset else "IS"
        if value is None:
            del dataset[keyword]
        else:
            mode = pydicom.config.IGNORE
            dataset[keyword] = pydicom.DataElement(keyword, vr, value, validation_mode=mode)
    save(dataset, tmp_path / "x.dcm")
    assert refused(tmp_path / "x.dcm").reason == expected


def test_frames_that_are_fewer_than_declared_or_described_are_refused(tmp_path: Path) -> None:
    dataset = multiframe_of(picture(18), oblique(1, 1, 1))
    del dataset.PerFrameFunctionalGroupsSequence[-1]
    assert refused(save(dataset, tmp_path / "x.dcm")).reason == "unreadable"
    dataset = multiframe_of(picture(18), oblique(1, 1, 1))
    del dataset.PerFrameFunctionalGroupsSequence
    assert refused(save(dataset, tmp_path / "y.dcm")).reason == "not_3d"
