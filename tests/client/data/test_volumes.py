from pathlib import Path

import numpy as np
import pytest

from client.data import formats
from client.data.volumes import Volume, spacing_mm, to_ras
from tests.client.data.scans import affine_of, picture, write_scan


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "SAL", "ILP"])
def test_every_orientation_of_a_scan_becomes_the_same_ras_volume(tmp_path: Path, axes: str) -> None:
    image = picture(2)[0]
    volume = to_ras(formats.read(write_scan(tmp_path / "x.nii.gz", image, affine_of(1, 2, 3), axes=axes)))
    np.testing.assert_array_equal(volume.array, image)
    np.testing.assert_allclose(volume.affine, affine_of(1, 2, 3), atol=1e-5)
    assert volume.array.flags.c_contiguous


def test_spacing_is_the_length_of_the_columns() -> None:
    oblique = affine_of(1, 1, 1)
    oblique[:3, :3] = np.array([[0.6, -1.6, 0], [0.8, 1.2, 0], [0, 0, 3]])
    np.testing.assert_allclose(spacing_mm(oblique), [1, 2, 3])
    assert isinstance(to_ras(Volume(picture(0)[0], oblique)), Volume)


def test_an_image_of_several_components_turns_as_each_of_them_does() -> None:
    affine = np.array([[0, 0, -3.0, 1], [1, 0, 0, 2], [0, -2, 0, 3], [0, 0, 0, 1]])
    parts = [picture(seed)[0] for seed in range(3)]
    turned = to_ras(Volume(np.stack(parts), affine))
    assert turned.shape == turned.array.shape[1:]
    for index, part in enumerate(parts):
        alone = to_ras(Volume(part, affine))
        np.testing.assert_array_equal(turned.array[index], alone.array)
        np.testing.assert_array_equal(turned.affine, alone.affine)
