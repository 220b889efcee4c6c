import gzip
import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.data import formats
from client.data.formats import Limits
from shared.errors import CaseError
from tests.client.data.scans import affine_of, picture, write_scan


def reason(path: Path) -> str:
    with pytest.raises(CaseError) as caught:
        formats.read(path)
    assert str(path) in str(caught.value)
    return caught.value.reason


def patched(path: Path, offset: int, form: str, *values: Any) -> Path:
    """The uncompressed file at `path` with header fields overwritten."""
    content = bytearray(path.read_bytes())
    struct.pack_into(form, content, offset, *values)
    path.write_bytes(content)
    return path


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return write_scan(tmp_path / "x.nii", picture(0)[0])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64, ">i2"])
@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_reads_what_nibabel_reads(tmp_path: Path, dtype: Any, name: str) -> None:
    path = write_scan(tmp_path / name, picture(0)[0].astype(dtype), affine_of(1, 2, 3), axes="LPI")
    oracle = nib.load(path)
    volume = formats.read(path)
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array, oracle.get_fdata())
    np.testing.assert_array_equal(volume.affine, oracle.affine)


@pytest.mark.parametrize("stored", ["u1", "i1", "<i2", ">i2", "<u2", ">u2", "<i4", "<f4"])
def test_what_is_read_narrow_is_the_same_in_less_memory(tmp_path: Path, stored: str) -> None:
    image = np.random.default_rng(0).integers(0, 100, (4, 5, 6)).astype(stored)
    path = tmp_path / "x.nii.gz"
    nib.save(nib.Nifti1Image(image, affine_of(1, 1, 1)), path)
    narrow, single = formats.read_narrow(path).array, formats.read(path).array
    assert single.dtype == np.float32
    assert narrow.dtype == (image.dtype.newbyteorder("=") if image.itemsize <= 2 else np.float32)
    np.testing.assert_array_equal(narrow, single)
    with_slope = nib.load(path)
    with_slope.header.set_slope_inter(2, 1)
    nib.save(with_slope, tmp_path / "scaled.nii.gz")
    assert formats.read_narrow(tmp_path / "scaled.nii.gz").array.dtype == np.float32


def test_scaling_nifti_2_and_big_endian_are_read_as_nibabel_reads_them(tmp_path: Path) -> None:
    image = picture(1)[0]
    scaled = nib.Nifti1Image(image, affine_of(1, 1, 1), dtype=np.int16)  # nibabel chooses a slope
    second = nib.Nifti2Image(image, affine_of(1, 1, 1))
    swapped = nib.Nifti1Image(image, affine_of(1, 1, 1), nib.Nifti1Header(endianness=">"))
    for number, stored in enumerate((scaled, second, swapped)):
        path = tmp_path / f"{number}.nii.gz"
        nib.save(stored, path)
        np.testing.assert_allclose(formats.read(path).array, nib.load(path).get_fdata(), rtol=1e-6)


def test_a_slope_of_zero_means_unscaled(plain: Path) -> None:
    patched(plain, 112, "<2f", 0.0, 7.0)
    np.testing.assert_array_equal(formats.read(plain).array, picture(0)[0])


def test_trailing_axes_of_one_are_dropped_and_others_refused(tmp_path: Path) -> None:
    image = picture(0)[0]
    for name, array in (("four.nii", image[..., None]), ("five.nii", image[..., None, None])):
        nib.save(nib.Nifti1Image(array, affine_of(1, 1, 1)), tmp_path / name)
        np.testing.assert_array_equal(formats.read(tmp_path / name).array, image)
    vectors = np.zeros((*image.shape, 1, 3))
    series = np.stack([image] * 17, -1)
    for name, array in (("time.nii", series), ("flat.nii", image[..., 0]), ("vectors.nii", vectors)):
        nib.save(nib.Nifti1Image(array, affine_of(1, 1, 1)), tmp_path / name)
        assert reason(tmp_path / name) == "not_3d"


def test_377_bytes_that_declare_18_gigabytes_are_refused(plain: Path) -> None:
    patched(plain, 40, "<4h", 3, 1600, 1600, 1800)  # 4.6e9 float32 voxels
    plain.write_bytes(plain.read_bytes()[:377])
    assert reason(plain) == "too_large"
    patched(plain, 40, "<4h", 3, 600, 600, 700)  # within the limit of voxels, beyond the file
    assert reason(plain) == "unreadable"
    packed = plain.with_suffix(".nii.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    tracemalloc.start()
    try:
        assert [reason(path) for path in (plain, packed)] == ["unreadable"] * 2
        assert tracemalloc.get_traced_memory()[1] < 2**24  # bytes: nothing was set aside for the claim
    finally:
        tracemalloc.stop()


def test_gzip_that_expands_far_beyond_its_header_is_refused(plain: Path) -> None:
    bomb = plain.with_suffix(".nii.gz")
    bomb.write_bytes(gzip.compress(plain.read_bytes() + bytes(64 * Limits().max_tail)))
    assert reason(bomb) == "too_large"
    padded = plain.with_name("padded.nii.gz")
    padded.write_bytes(gzip.compress(plain.read_bytes() + bytes(512)))
    np.testing.assert_array_equal(formats.read(padded).array, formats.read(plain).array)


def test_truncated_or_damaged_files_are_unreadable(plain: Path, tmp_path: Path) -> None:
    content = plain.read_bytes()
    damaged = bytearray(gzip.compress(content))
    damaged[len(damaged) // 2] ^= 255
    for number, data in enumerate(
        (
            b"",
            b"\x1f",
            content[:100],
            content[:-1],
            gzip.compress(content)[:-20],
            bytes(damaged),
            b"PK\3\4" + content,
        )
    ):
        path = tmp_path / f"broken{number}.nii.gz"
        path.write_bytes(data)
        assert reason(path) == "unreadable"


def test_a_folder_a_pipe_a_missing_file_and_a_pair_header_are_unreadable(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.nii.gz").mkdir()
    assert reason(tmp_path / "folder.nii.gz") == "unreadable"
    assert reason(tmp_path / "nowhere.nii.gz") == "unreadable"
    os.mkfifo(tmp_path / "pipe.nii.gz")  # opened, it would wait for a writer for ever
    assert reason(tmp_path / "pipe.nii.gz") == "unreadable"
    assert reason(patched(plain, 344, "4s", b"ni1\0")) == "unreadable"


@pytest.mark.parametrize(
    ("offset", "form", "values", "expected"),
    [
        (40, "<2h", (-1, 9), "unreadable"),
        (40, "<4h", (3, 9, 0, 11), "unreadable"),
        (40, "<h", (9,), "unreadable"),
        (70, "<h", (32,), "unsupported_type"),  # complex64
        (70, "<h", (128,), "unsupported_type"),  # RGB
        (70, "<h", (999,), "unsupported_type"),
        (108, "<f", (0.0,), "unreadable"),
        (108, "<f", (1e30,), "unreadable"),
        (108, "<f", (float("nan"),), "unreadable"),
        (112, "<f", (float("nan"),), "not_finite"),
        (112, "<2f", (2.0, float("inf")), "not_finite"),
        (123, "B", (3,), "bad_affine"),  # micrometres
        (280, "<f", (float("nan"),), "bad_affine"),
        (280, "<12f", (0.0,) * 12, "bad_affine"),
        (280, "<12f", (1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0), "bad_affine"),  # flat
    ],
)
def test_bad_header_fields_are_named(
    plain: Path, offset: int, form: str, values: tuple[Any, ...], expected: str
) -> None:
    assert reason(patched(plain, offset, form, *values)) == expected


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_no_byte_of_a_header_can_do_more_than_a_case_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = write_scan(tmp_path_factory.getbasetemp() / "fuzzed.nii", picture(0)[0])
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 351))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        volume = formats.read(path, Limits(max_voxels=10_000))
    except CaseError:
        return
    assert volume.array.ndim == 3
    assert np.isfinite(volume.affine).all()


def test_a_fourth_axis_holds_the_channels(tmp_path: Path) -> None:
    image = np.stack([picture(seed)[0] for seed in range(4)], -1)
    for name in ("brain.nii", "brain.nii.gz"):
        nib.save(nib.Nifti1Image(image, affine_of(1, 1, 1)), tmp_path / name)
        header = formats.header(tmp_path / name)
        assert (header.shape, header.components) == (image.shape[:3], 4)
        read = formats.read(tmp_path / name)
        np.testing.assert_array_equal(read.array, np.moveaxis(image, -1, 0))
        assert read.shape == image.shape[:3]
