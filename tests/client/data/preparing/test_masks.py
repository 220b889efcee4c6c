"""Masks come onto the grid of their image; a TIFF's resolution says nothing about where it lies."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile

from client.data import formats
from client.data.check import check_grid
from client.data.preparing.masks import read_mask
from shared.errors import CaseError

PIXELS = np.arange(12, dtype=np.uint8).reshape(3, 4)


def picture(path: Path, *, dots_per_inch: int | None, pixels: np.ndarray = PIXELS) -> Path:
    if dots_per_inch is None:
        tifffile.imwrite(path, pixels)
    else:
        tifffile.imwrite(path, pixels, resolution=(dots_per_inch, dots_per_inch), resolutionunit=2)
    return path


@pytest.mark.parametrize(("of_image", "of_mask"), [(72, None), (None, 72), (72, 300), (72, 72)])
def test_a_tiff_mask_lies_where_its_picture_lies(
    tmp_path: Path, of_image: int | None, of_mask: int | None
) -> None:
    image = formats.read(picture(tmp_path / "a_ccd.tif", dots_per_inch=of_image))
    path = picture(tmp_path / "a.TIF", dots_per_inch=of_mask)
    mask = read_mask(path, image)
    check_grid(image, mask, case="a")
    np.testing.assert_array_equal(mask.array, formats.read(path).array)


def test_a_tiff_mask_of_another_shape_keeps_its_grid_and_is_refused(tmp_path: Path) -> None:
    image = formats.read(picture(tmp_path / "a_ccd.tif", dots_per_inch=72))
    mask = read_mask(picture(tmp_path / "a.TIF", dots_per_inch=None, pixels=PIXELS.T), image)
    with pytest.raises(CaseError) as refused:
        check_grid(image, mask, case="a")
    assert refused.value.reason == "shape_mismatch"


def test_a_tiff_mask_is_not_laid_onto_an_image_that_runs_the_other_way(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(PIXELS.T[:, :, None].astype(np.int16), np.eye(4)), tmp_path / "a.nii.gz")
    image = formats.read(tmp_path / "a.nii.gz")  # RAS; a picture's rows run to the left and to the back
    mask = read_mask(picture(tmp_path / "a.TIF", dots_per_inch=None), image)
    assert mask.shape == image.shape
    with pytest.raises(CaseError) as refused:
        check_grid(image, mask, case="a")
    assert refused.value.reason == "affine_mismatch"


def test_a_mask_of_any_other_format_keeps_its_own_grid(tmp_path: Path) -> None:
    for name, side in (("image", 1.0), ("mask", 2.0)):
        array, affine = PIXELS.T[:, :, None].astype(np.int16), np.diag([side, side, 1, 1])
        nib.save(nib.Nifti1Image(array, affine), tmp_path / f"{name}.nii.gz")
    mask = read_mask(tmp_path / "mask.nii.gz", formats.read(tmp_path / "image.nii.gz"))
    assert mask.affine[0, 0] == 2.0
