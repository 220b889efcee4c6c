from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from client.data import formats
from shared.errors import CaseError
from tests.client.data.formats.samples import oblique, picture


def reason(path: Path) -> str:
    with pytest.raises(CaseError) as caught:
        formats.read(path)
    return caught.value.reason


def same_as_nibabel(path: Path) -> None:
    volume, oracle = formats.read(path), nib.load(path)
    np.testing.assert_allclose(volume.array, oracle.get_fdata(), rtol=1e-6)
    np.testing.assert_allclose(volume.affine, oracle.affine, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair, nib.Spm99AnalyzeImage, nib.AnalyzeImage])
def test_pairs_are_read_as_nibabel_reads_them(tmp_path: Path, kind: Any, dtype: Any, order: str) -> None:
    array = picture(1, dtype)
    header = kind.header_class(endianness=order)
    header.set_data_dtype(dtype)
    affine = oblique(1, 2, 3) if "Nifti" in kind.__name__ else None
    image = kind(array, affine, header)
    image.header.set_zooms((1, 2, 3))
    nib.save(image, tmp_path / "x.img")
    (tmp_path / "x.mat").unlink(missing_ok=True)
    same_as_nibabel(tmp_path / "x.hdr")


def test_the_scaling_and_the_origin_of_spm_are_read_as_nibabel_reads_them(tmp_path: Path) -> None:
    image = nib.Spm2AnalyzeImage(picture(2, np.float32), None)
    image.set_data_dtype(np.int16)  # nibabel chooses a slope
    image.header.set_zooms((1, 2, 3))
    image.header["origin"][:3] = (2, 3, 4)
    nib.save(image, tmp_path / "x.img")
    (tmp_path / "x.mat").unlink(missing_ok=True)
    same_as_nibabel(tmp_path / "x.hdr")
    assert "orientation" in formats.header(tmp_path / "x.hdr").notes[0]


def test_packed_pairs_and_upper_case_names_find_each_other(tmp_path: Path) -> None:
    array = picture(3)
    nib.save(nib.Nifti1Pair(array, oblique(1, 1, 1)), tmp_path / "x.img.gz")
    np.testing.assert_array_equal(formats.read(tmp_path / "x.hdr.gz").array, array)
    nib.save(nib.Nifti1Pair(array, oblique(1, 1, 1)), tmp_path / "y.img")
    (tmp_path / "y.hdr").rename(tmp_path / "Y.HDR")
    (tmp_path / "y.img").rename(tmp_path / "Y.IMG")
    np.testing.assert_array_equal(formats.read(tmp_path / "Y.HDR").array, array)


def test_the_voxels_are_a_file_of_the_same_stem_beside_the_header_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    nib.save(nib.Nifti1Pair(picture(4), oblique(1, 1, 1)), tmp_path / "a" / "x.img")
    header, image = tmp_path / "a" / "x.hdr", tmp_path / "a" / "x.img"
    elsewhere = image.rename(tmp_path / "x.img")
    assert reason(header) == "unreadable"
    image.symlink_to(elsewhere)
    assert reason(header) == "outside_file"
    image.unlink()
    image.mkdir()
    assert reason(header) == "unreadable"
    image.rmdir()
    elsewhere.rename(image)
    formats.read(header)
    (tmp_path / "a" / "x.img.gz").write_bytes(b"")
    assert reason(header) == "duplicate_case"


def test_a_pair_that_declares_more_than_its_voxels_is_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(picture(5), oblique(1, 1, 1)), tmp_path / "x.img")
    image = tmp_path / "x.img"
    whole = image.read_bytes()
    image.write_bytes(whole[:-1])
    assert reason(tmp_path / "x.hdr") == "unreadable"
    image.write_bytes(whole + bytes(2**21))
    assert reason(tmp_path / "x.hdr") == "too_large"
