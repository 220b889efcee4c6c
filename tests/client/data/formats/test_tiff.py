import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from client.data import formats
from shared.errors import CaseError
from tests.client.data.formats.samples import read_by_itk


def reason(path: Path) -> str:
    with pytest.raises(CaseError) as caught:
        formats.read(path)
    return caught.value.reason


def write(path: Path, array: Any, **options: Any) -> Path:
    colour = array.ndim == 3
    settings = {"photometric": "rgb" if colour else "minisblack", "metadata": None, **options}
    tifffile.imwrite(path, array, **settings)
    return path


def values(dtype: str, *shape: int) -> Any:
    return np.random.default_rng(1).integers(0, 120, shape).astype(dtype)


def patched(path: Path, tag: int, value: int, count: int | None = None) -> Path:
    """Overwrite the value (and count) of one short or long tag of a little-endian classic TIFF."""
    content = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", content, 4)[0]
    for index in range(struct.unpack_from("<H", content, start)[0]):
        at = start + 2 + 12 * index
        if struct.unpack_from("<H", content, at)[0] == tag:
            struct.pack_into("<I", content, at + 8, value)
            if count is not None:
                struct.pack_into("<I", content, at + 4, count)
            path.write_bytes(content)
            return path
    raise AssertionError(tag)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_grey_pictures_are_read_as_tifffile_reads_them(tmp_path: Path, dtype: str, order: str) -> None:
    path = write(tmp_path / "x.tif", values(dtype, 21, 34), byteorder=order)
    np.testing.assert_array_equal(formats.read(path).array[..., 0].T, tifffile.imread(path))


@pytest.mark.parametrize(
    "options", [{}, {"planarconfig": "separate"}, {"tile": (16, 32)}, {"rowsperstrip": 5}]
)
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_colour_pictures_are_three_components(tmp_path: Path, options: dict[str, Any], dtype: str) -> None:
    array = values(dtype, 40, 50, 3)
    stored = np.moveaxis(array, -1, 0) if "planarconfig" in options else array
    path = write(tmp_path / "x.tif", stored, **options)
    volume = formats.read(path)
    assert volume.array.shape == (3, 50, 40, 1)
    np.testing.assert_array_equal(volume.array[..., 0].transpose(2, 1, 0), array)
    assert formats.header(path).components == 3


@pytest.mark.parametrize("packing", ["tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["L", "RGB", "I;16", "F"])
def test_packed_pictures_are_unpacked_to_the_same_values(tmp_path: Path, packing: str, mode: str) -> None:
    kinds = {"L": "u1", "RGB": "u1", "I;16": "u2", "F": "f4"}
    array = values(kinds[mode], *((30, 41, 3) if mode == "RGB" else (30, 41)))
    Image.fromarray(array).save(tmp_path / "x.tif", compression=packing)
    found = formats.read(tmp_path / "x.tif").array[..., 0]
    np.testing.assert_array_equal(found.T if mode != "RGB" else found.transpose(2, 1, 0), array)


def test_white_as_zero_keeps_stored_values_packed_or_not(tmp_path: Path) -> None:
    array = values("u1", 30, 41)
    for name, options in (("a.tif", {}), ("b.tif", {"compression": "zlib"})):
        path = write(tmp_path / name, array, photometric="miniswhite", **options)
        np.testing.assert_array_equal(formats.read(path).array[..., 0].T, array)
        assert "as stored" in " ".join(formats.header(path).notes)


def test_jpeg_in_tiff_is_read_as_pillow_reads_it_and_alpha_is_left_out(tmp_path: Path) -> None:
    array = values("u1", 32, 48, 3)
    Image.fromarray(array).save(tmp_path / "x.tif", compression="jpeg")
    oracle = np.asarray(Image.open(tmp_path / "x.tif").convert("RGB"))
    np.testing.assert_array_equal(formats.read(tmp_path / "x.tif").array[..., 0].transpose(2, 1, 0), oracle)
    four = np.concatenate([array, array[..., :1]], -1)
    path = write(tmp_path / "y.tif", four, extrasamples=["unassalpha"])
    np.testing.assert_array_equal(formats.read(path).array[..., 0].transpose(2, 1, 0), array)
    assert "alpha" in " ".join(formats.header(path).notes)


def test_resolution_gives_the_spacing_and_its_absence_a_note(tmp_path: Path) -> None:
    array = values("u1", 20, 30)
    inch = write(tmp_path / "a.tif", array, resolution=(254, 508), resolutionunit="INCH")
    np.testing.assert_allclose(formats.read(inch).affine, np.diag([-0.1, -0.05, 1, 1]))
    assert not formats.header(inch).notes
    none = write(tmp_path / "b.tif", array)
    np.testing.assert_allclose(formats.read(none).affine, np.diag([-1, -1, 1, 1]))
    assert "1 mm" in formats.header(none).notes[0]
    fine = write(tmp_path / "c.tif", array, resolution=(4e4, 4e4), resolutionunit="CENTIMETER")
    np.testing.assert_allclose(formats.read(fine).affine[0, 0], -0.00025)  # a microscope's


def test_place_and_voxels_agree_with_simpleitk(tmp_path: Path) -> None:
    for name, array in (("a.tif", values("u2", 20, 30)), ("b.tif", values("u1", 20, 30, 3))):
        path = write(tmp_path / name, array, resolution=(20, 40), resolutionunit="CENTIMETER")
        volume, (oracle, affine) = formats.read(path), read_by_itk(path)
        np.testing.assert_array_equal(volume.array, oracle)
        np.testing.assert_allclose(volume.affine, affine, rtol=1e-6)


@pytest.mark.parametrize(
    ("tag", "value", "count", "expected"),
    [
        (256, 0, None, "unreadable"),
        (256, 2**31, None, "too_large"),
        (257, 20_000, None, "unreadable"),  # far more rows than the file holds
        (258, 7, None, "unsupported_type"),
        (259, 34712, None, "unsupported_type"),  # JPEG 2000
        (262, 3, None, "unsupported_type"),  # a palette
        (273, 2**31, None, "unreadable"),
        (273, 8, 2**31, "unreadable"),
        (277, 900, None, "unsupported_type"),
        (279, 2**32 - 1, None, "unreadable"),
    ],
)
def test_bad_tags_are_named(tmp_path: Path, tag: int, value: int, count: int | None, expected: str) -> None:
    path = write(tmp_path / "x.tif", values("u1", 20, 30), photometric="minisblack", byteorder="<")
    assert reason(patched(path, tag, value, count)) == expected
    with pytest.raises(CaseError) as caught:
        formats.header(path)  # known before a decoder is asked
    assert caught.value.reason == expected


def test_several_pages_and_a_palette_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        for _ in range(2):
            writer.write(values("u1", 20, 30), metadata=None)
    assert reason(tmp_path / "x.tif") == "unsupported_type"
    Image.fromarray(values("u1", 20, 30)).convert("P").save(tmp_path / "y.tif")
    assert reason(tmp_path / "y.tif") == "unsupported_type"
