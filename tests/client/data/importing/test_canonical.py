"""Canonical files hold what was read, to the voxel, in the narrowest type, whatever the format."""

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from client.data import formats
from client.data.importing.canonical import NARROW, narrowest, write_canonical
from client.data.importing.points import points_to_ras
from client.data.volumes import Volume, array_to_ras
from tests.client.data.formats.samples import SAMPLES, Sample, oblique, read_by_itk
from tests.client.data.importing.imports import assert_same

Array = npt.NDArray[Any]
EDGES = [-(2.0**31), -(2.0**15) - 1, -(2.0**15), -129, -128, -1, 0, 127, 128, 255, 256, 2**15, 2**16, 2.0**24]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_each_format_is_written_as_it_was_read(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    source, _array, _affine = sample.write(tmp_path / "in")
    volume = formats.read(source)
    parts = volume.array if volume.array.ndim == 4 else [volume.array]
    for number, part in enumerate(parts):
        path = tmp_path / f"{number}.nii.gz"
        done = write_canonical(path, part, volume.affine)
        assert_same(formats.read(path), Volume(part, volume.affine))
        assert formats.header(path).dtype == done.dtype
    if sample.format == "dicom" and "multi" not in sample.name:
        array, affine = read_by_itk(source)
        assert_same(formats.read(path), Volume(array.astype(np.float32), affine))


@given(
    arrays.arrays(
        np.float32,
        arrays.array_shapes(min_dims=3, max_dims=3, max_side=4),
        elements=st.sampled_from(EDGES) | st.floats(-1e9, 1e9, width=32),
    )
)
def test_the_type_is_exact_and_none_that_is_narrower_would_be(array: Array) -> None:
    kind = narrowest(array)
    np.testing.assert_array_equal(array.astype(kind).astype(np.float64), array)
    for other in NARROW:
        if other.itemsize < kind.itemsize:
            inside = np.iinfo(other).min <= array.min() and array.max() <= np.iinfo(other).max
            assert not (inside and (array == np.rint(array)).all())


AXES = st.permutations([0, 1, 2])
SIGNS = st.tuples(*[st.sampled_from([-1, 1])] * 3)


@given(axes=AXES, signs=SIGNS, degrees=st.floats(-20, 20), shear=st.sampled_from([0.0, 0.3]))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_axes_are_turned_and_every_voxel_keeps_its_place(
    axes: list[int], signs: tuple[int, int, int], degrees: float, shear: float, tmp_path: Path
) -> None:
    array = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    affine = oblique(1, 2, 3.5, flip=signs, degrees=degrees)[:, [*axes, 3]]
    affine[:3, 0] += shear * affine[:3, 1]
    write_canonical(tmp_path / "x.nii.gz", array, affine)
    volume = formats.read(tmp_path / "x.nii.gz")
    assert_same(volume, Volume(array, affine))
    header = nib.load(tmp_path / "x.nii.gz").header
    assert nib.aff2axcodes(header.get_sform()) == ("R", "A", "S")
    if header["qform_code"]:
        np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-3)
    else:
        assert shear
    points = np.array([[*index, 1] for index in np.ndindex(2, 3, 4)])
    turned = points_to_ras(points, affine, (2, 3, 4))
    for point, moved in zip(points, turned, strict=True):
        assert array_to_ras(array, affine)[tuple(moved[:3])] == array[tuple(point[:3])]


def test_an_axis_too_long_for_nifti_1_is_written_all_the_same(tmp_path: Path) -> None:
    array = np.zeros((40_000, 2, 1), np.float32)
    array[39_999, 1, 0] = 7
    write_canonical(tmp_path / "x.nii.gz", array, np.eye(4))
    np.testing.assert_array_equal(formats.read(tmp_path / "x.nii.gz").array, array)


def test_equal_voxels_are_known_however_they_are_stored(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    flipped = np.diag([-1.0, 1, 1, 1])
    one = write_canonical(tmp_path / "a.nii.gz", array, np.eye(4))
    two = write_canonical(tmp_path / "b.nii.gz", np.ascontiguousarray(array[::-1]), flipped)
    assert one.voxels == two.voxels
    other = write_canonical(tmp_path / "c.nii.gz", array, np.diag([2.0, 1, 1, 1]))
    assert other.voxels != one.voxels
    assert write_canonical(tmp_path / "d.nii.gz", array + 1, np.eye(4)).voxels != one.voxels


def test_slabs_are_put_together_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(5 * 6 * 7, dtype=np.float32).reshape(5, 6, 7)
    write_canonical(tmp_path / "a.nii.gz", array, np.eye(4))
    monkeypatch.setattr("client.data.importing.canonical.SLAB_BYTES", 70)
    write_canonical(tmp_path / "b.nii.gz", array, np.eye(4))
    whole, pieces = (gzip.decompress((tmp_path / name).read_bytes()) for name in ("a.nii.gz", "b.nii.gz"))
    assert whole == pieces
