from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import numpy.typing as npt
import pydicom
import pytest

from client.data import formats
from client.data.formats.dicom_seg import Segment, read_on, segments
from shared.errors import CaseError
from tests.client.data.formats.dicoms import write_seg, write_series
from tests.client.data.formats.samples import SHAPE, oblique, read_by_itk

AFFINE = oblique(0.7, 0.8, 2.5)
ALL = formats.DEFAULT


def label() -> npt.NDArray[Any]:
    """Organ and tumour in slices 2 to 4 of 7: SEG does not store empty ones."""
    values = np.zeros(SHAPE, np.uint8)
    values[2:6, 3:6, 2:5] = 1
    values[3, 4, 2:4] = 2
    return values


def refused(path: Path, **options: Any) -> CaseError:
    with pytest.raises(CaseError) as caught:
        read_on(path, ALL, **options)
    return caught.value


@pytest.mark.real_data
def test_a_real_seg_agrees_with_simpleitk_and_highdicom_on_the_grid_of_its_series(real_data: Path) -> None:
    path, series = real_data / "dicom" / "ct_3slice_liver_seg.dcm", real_data / "dicom" / "ct_3slice"
    grid = formats.header(series)
    volume = read_on(path, ALL, grid=grid)
    array, _ = read_by_itk(path)  # 255 where the segment is
    np.testing.assert_array_equal(volume.array, array / 255)
    np.testing.assert_array_equal(volume.affine, formats.read(series).affine)
    oracle = hd.seg.segread(path)
    sources = [pydicom.dcmread(file) for file in sorted(series.iterdir())]
    sources.sort(key=lambda dataset: dataset.ImagePositionPatient[2])
    names = [dataset.SOPInstanceUID for dataset in sources]
    masks = oracle.get_pixels_by_source_instance(names, ignore_spatial_locations=True)
    np.testing.assert_array_equal(volume.array, masks[..., 0].transpose(2, 1, 0))
    assert segments(path, ALL) == (Segment(1, "Liver"),)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_frames_are_placed_into_the_grid_of_their_series(tmp_path: Path, kind: str) -> None:
    path = write_seg(tmp_path, label(), AFFINE, kind=kind)
    volume = read_on(path, ALL, grid=formats.header(tmp_path / "series"))
    np.testing.assert_array_equal(volume.array, label())
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-6)
    assert segments(path, ALL) == (Segment(1, "organ"), Segment(2, "tumour"))


def test_alone_it_lies_on_the_grid_of_its_own_frames(tmp_path: Path) -> None:
    path = write_seg(tmp_path, label(), AFFINE)
    volume = formats.read(path)
    np.testing.assert_array_equal(volume.array, label()[..., 2:5])
    np.testing.assert_allclose(volume.affine[:3, :3], AFFINE[:3, :3], atol=1e-6)
    np.testing.assert_allclose(volume.affine[:3, 3], AFFINE[:3] @ [0, 0, 2, 1], atol=1e-6)


def test_segments_that_share_voxels_are_an_error_until_one_is_chosen(tmp_path: Path) -> None:
    path = write_seg(tmp_path, label(), AFFINE, overlap=True)
    error = refused(path)
    assert error.reason == "overlapping_segments"
    assert "1 (organ) and 2 (tumour)" in str(error)
    grid = formats.header(tmp_path / "series")
    np.testing.assert_array_equal(read_on(path, ALL, grid=grid, wanted=[1]).array, label() > 0)
    np.testing.assert_array_equal(read_on(path, ALL, grid=grid, wanted=[2]).array, 2 * (label() == 2))
    assert refused(path, wanted=[3]).reason == "label_values"


def test_a_frame_that_lies_off_the_grid_is_refused(tmp_path: Path) -> None:
    path = write_seg(tmp_path, label(), AFFINE)
    moved, turned = AFFINE.copy(), oblique(0.7, 0.8, 2.5, degrees=25)
    moved[:3, 3] += 0.3
    for number, other in enumerate((moved, turned)):
        write_series(tmp_path / str(number), label().astype(np.int16), other)
        grid = formats.header(tmp_path / str(number))
        assert refused(path, grid=grid).reason == "affine_mismatch"
    write_series(tmp_path / "short", label()[..., :3].astype(np.int16), AFFINE)
    assert refused(path, grid=formats.header(tmp_path / "short")).reason == "affine_mismatch"
    write_series(tmp_path / "narrow", label()[:-1].astype(np.int16), AFFINE)
    assert refused(path, grid=formats.header(tmp_path / "narrow")).reason == "shape_mismatch"


def test_a_fractional_one_and_unknown_segments_are_refused(tmp_path: Path) -> None:
    path = write_seg(tmp_path, label(), AFFINE)
    dataset = pydicom.dcmread(path)
    dataset.SegmentationType = "FRACTIONAL"
    dataset.save_as(tmp_path / "a.dcm")
    assert refused(tmp_path / "a.dcm").reason == "unsupported_type"
    dataset.SegmentationType = "BINARY"
    dataset.SegmentSequence[1].SegmentNumber = 9
    dataset.save_as(tmp_path / "b.dcm")
    assert refused(tmp_path / "b.dcm").reason == "unreadable"
