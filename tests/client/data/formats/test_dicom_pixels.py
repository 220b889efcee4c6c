import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate

from client.data import formats
from client.data.formats import Limits
from client.data.formats.dicom_pixels import _unrolled
from shared.errors import CaseError
from tests.client.data.formats.dicoms import save, slice_of
from tests.client.data.formats.samples import oblique, picture, read_by_itk


def refused(path: Path) -> CaseError:
    with pytest.raises(CaseError) as caught:
        formats.read(path)
    return caught.value


def test_a_colour_frame_has_three_components(tmp_path: Path) -> None:
    dataset = slice_of(picture(14, np.uint8), oblique(1, 1, 1), 0)
    pixels = np.random.default_rng(0).integers(0, 255, (10, 9, 3), np.uint8)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.PixelData = pixels.tobytes()
    plain = save(dataset, tmp_path / "x.dcm")
    assert formats.header(plain).components == 3
    np.testing.assert_array_equal(formats.read(plain).array[..., 0], pixels.transpose(2, 1, 0))
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    packed = save(dataset, tmp_path / "y.dcm", uid.JPEGBaseline8Bit)
    assert formats.read(packed).array.shape == (3, 9, 10, 1)


def test_packed_frames_that_state_another_size_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    for syntax in (uid.JPEG2000Lossless, uid.JPEGBaseline8Bit):
        dataset = slice_of(picture(16, np.uint8), oblique(1, 1, 1), 0)
        path = save(dataset, tmp_path / f"{syntax}.dcm", syntax)
        formats.read(path)
        liar = pydicom.dcmread(path)
        liar.Rows = 11
        liar.save_as(path)
        assert "packed as (9, 10)" in str(refused(path))


def test_a_packing_that_nothing_here_unpacks_is_named(tmp_path: Path) -> None:
    for syntax, name in ((uid.JPEGLosslessSV1, "JPEG Lossless"), (uid.JPEGLSLossless, "JPEG-LS")):
        dataset = slice_of(picture(17), oblique(1, 1, 1), 0)
        path = save(dataset, tmp_path / "x.dcm", uid.RLELossless)
        other = pydicom.dcmread(path)
        other.file_meta.TransferSyntaxUID = uid.UID(syntax)
        other.save_as(path)
        error = refused(path)
        assert error.reason == "unsupported_type"
        assert name in str(error)


def test_bits_above_those_stored_do_not_count_as_for_simpleitk(tmp_path: Path) -> None:
    dataset = slice_of(picture(19, np.uint16), oblique(1, 1, 1), 0)
    dataset.BitsStored, dataset.HighBit = 12, 11
    path = save(dataset, tmp_path / "x.dcm")
    found = formats.read(path).array
    np.testing.assert_array_equal(found[..., 0], picture(19, np.uint16)[..., 0] & 0xFFF)
    np.testing.assert_array_equal(found, read_by_itk(path)[0])


def test_packed_files_are_held_within_the_limit_of_bytes(tmp_path: Path) -> None:
    path = save(slice_of(picture(20), oblique(1, 1, 1), 0), tmp_path / "x.dcm", uid.RLELossless)
    with pytest.raises(CaseError) as caught:
        formats.read(path, Limits(max_bytes=400))
    assert caught.value.reason == "too_large"


def test_a_run_length_bomb_is_counted_and_not_unrolled(tmp_path: Path) -> None:
    """64 MiB out of each MiB: refused by its count, before a byte of it is unrolled."""
    runs = b"\x81\x07" * 1000 + b"\x03abcd" + b"\x80"
    assert _unrolled(bytes(64) + runs) == 128 * 1000 + 4
    dataset = slice_of(picture(0), oblique(1, 1, 1), 0)
    path = save(dataset, tmp_path / "x.dcm", uid.RLELossless)
    other = pydicom.dcmread(path)
    segments = b"\x81\x07" * 2**18
    other.PixelData = encapsulate([struct.pack("<16I", 2, 64, 64 + len(segments), *[0] * 13) + segments * 2])
    other.save_as(path)
    with pytest.raises(CaseError, match="unrolls to"):
        formats.read(path)
