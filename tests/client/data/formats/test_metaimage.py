import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.data import formats
from client.data.formats import Limits
from shared.errors import CaseError
from tests.client.data.formats.samples import oblique, picture, read_by_itk, write_by_itk

HEADER = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "0 0 0",
    "ElementSpacing": "1 1 1",
    "DimSize": "4 3 2",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}
VOXELS = np.arange(24, dtype="<i2")


def meta(path: Path, voxels: bytes = VOXELS.tobytes(), **changes: str | None) -> Path:
    """A header with some fields changed (None leaves one out), and the voxels behind it or beside it."""
    fields = {**HEADER, **changes}
    fields["ElementDataFile"] = fields.pop("ElementDataFile")  # the last line
    text = "".join(f"{name} = {value}\n" for name, value in fields.items() if value is not None)
    path.write_bytes(text.encode("latin-1") + (voxels if fields["ElementDataFile"] == "LOCAL" else b""))
    return path


def reason(path: Path) -> str:
    with pytest.raises(CaseError) as caught:
        formats.read(path)
    return caught.value.reason


def same_as_itk(path: Path) -> None:
    volume, (array, affine) = formats.read(path), read_by_itk(path)
    np.testing.assert_array_equal(volume.array, array.astype(np.float32))
    np.testing.assert_allclose(volume.affine, affine, atol=1e-9)


@pytest.mark.parametrize(
    "dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"], ids=lambda kind: kind
)
@pytest.mark.parametrize("name", ["x.mha", "x.mhd"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_files_of_simpleitk_are_read_as_it_reads_them(
    tmp_path: Path, dtype: str, name: str, packed: bool
) -> None:
    affine = oblique(0.5, 0.75, 4, flip=(1, -1, 1), degrees=35)
    same_as_itk(write_by_itk(tmp_path / name, picture(1, dtype), affine, packed=packed))


def test_files_as_brats_and_vessel12_have_them_agree_with_simpleitk(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    brain = rng.integers(0, 3000, (240, 240, 155), np.int16)
    same_as_itk(
        meta(
            tmp_path / "VSD.Brain.XX.O.MR_Flair.54193.mha",
            brain.tobytes(order="F"),
            DimSize="240 240 155",
            Offset="0 -239 0",
            CenterOfRotation="0 0 0",
            AnatomicalOrientation="RAI",
        )
    )
    np.testing.assert_array_equal(formats.read(tmp_path / "VSD.Brain.XX.O.MR_Flair.54193.mha").array, brain)
    lung = rng.integers(-1024, 3000, (128, 96, 40), np.int16)
    (tmp_path / "VESSEL12_01.raw").write_bytes(lung.tobytes(order="F"))
    same_as_itk(
        meta(
            tmp_path / "VESSEL12_01.mhd",
            DimSize="128 96 40",
            ElementSpacing="0.7617 0.7617 1",
            Offset="-198.1 -195 -353.5",
            ElementDataFile="VESSEL12_01.raw",
        )
    )


def test_fields_that_itk_carried_over_from_dicom_are_passed_over(tmp_path: Path) -> None:
    carried: dict[str, Any] = {"0008|0070": "A = maker", "ITK_original_direction": "[...]", "Note": ""}
    path = meta(tmp_path / "x.mha", **carried)
    same_as_itk(path)
    path.write_bytes(path.read_bytes().replace(b"Note =", b"No te", 1))
    assert reason(path) == "unreadable"


@pytest.mark.parametrize("kind", ["i2", "u4", "f4", "f8"])
def test_both_byte_orders_are_read_as_simpleitk_reads_them(tmp_path: Path, kind: str) -> None:
    names = {"i2": "MET_SHORT", "u4": "MET_UINT", "f4": "MET_FLOAT", "f8": "MET_DOUBLE"}
    for order, flag in (("<", "False"), (">", "True")):
        voxels = np.arange(24).astype(order + kind).tobytes()
        path = meta(tmp_path / f"{flag}.mha", voxels, ElementType=names[kind], BinaryDataByteOrderMSB=flag)
        np.testing.assert_array_equal(formats.read(path).array.ravel(order="F"), np.arange(24))
        same_as_itk(path)


@pytest.mark.parametrize("kind", ["MET_LONG", "MET_ULONG"])
def test_a_long_has_four_bytes_as_for_simpleitk(tmp_path: Path, kind: str) -> None:
    same_as_itk(meta(tmp_path / "x.mha", np.arange(24, dtype="<i4").tobytes(), ElementType=kind))


def test_other_spellings_of_the_geometry_and_a_header_size_are_read_as_simpleitk_reads_them(
    tmp_path: Path,
) -> None:
    geometry: dict[str, Any] = {"TransformMatrix": None, "Offset": None, "ElementSpacing": None}
    same_as_itk(
        meta(
            tmp_path / "a.mha",
            **{
                **geometry,
                "Position": "1 2 3",
                "Orientation": "0 1 0 -1 0 0 0 0 1",
                "ElementSpacing": "1 2 3",
            },
        )
    )
    (tmp_path / "x.raw").write_bytes(b"prelude." + VOXELS.tobytes())
    for size in ("8", "-1"):
        same_as_itk(meta(tmp_path / f"b{size}.mhd", HeaderSize=size, ElementDataFile="x.raw"))
    flat: dict[str, Any] = {
        "NDims": "2",
        "DimSize": "6 4",
        "TransformMatrix": "0 1 -1 0",
        "Offset": "5 6",
        "ElementSpacing": "2 3",
    }
    same_as_itk(meta(tmp_path / "c.mha", **flat))
    same_as_itk(meta(tmp_path / "d.mha", AnatomicalOrientation="LPI"))
    assert "contradicts" in formats.header(tmp_path / "d.mha").notes[0]
    assert not formats.header(meta(tmp_path / "e.mha", AnatomicalOrientation="RAI")).notes


def test_a_stream_whose_last_bytes_come_out_late_is_read_whole(tmp_path: Path) -> None:
    for count in (2**20, 2**20 + 7, 3 * 2**20 + 1):  # around the chunks in which it is unpacked
        voxels = zlib.compress(bytes([7]) * count)
        path = meta(
            tmp_path / "x.mha", voxels, DimSize=f"{count} 1 1", ElementType="MET_UCHAR", CompressedData="True"
        )
        assert (formats.read(path).array == 7).all()


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../x.raw", "a/x.raw", "a\\x.raw", "C:x.raw", "x\0.raw", "..", ".", ""],
)
def test_a_header_leads_to_no_file_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").mkdir()
    for place in (tmp_path / "x.raw", tmp_path / "a" / "x.raw"):
        place.write_bytes(VOXELS.tobytes())
    assert reason(meta(tmp_path / "a" / "x.mhd", ElementDataFile=name)) == "outside_file"


def test_a_link_a_pipe_and_a_list_of_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "there.raw").write_bytes(VOXELS.tobytes())
    (tmp_path / "link.raw").symlink_to(tmp_path / "there.raw")
    os.mkfifo(tmp_path / "pipe.raw")
    path = tmp_path / "x.mhd"
    assert reason(meta(path, ElementDataFile="link.raw")) == "outside_file"
    assert reason(meta(path, ElementDataFile="pipe.raw")) == "unreadable"
    assert reason(meta(path, ElementDataFile="gone.raw")) == "unreadable"
    assert reason(meta(path, ElementDataFile="LIST")) == "unsupported_type"
    assert reason(meta(path, ElementDataFile="x%03d.raw 1 3 1")) == "unsupported_type"
    formats.read(meta(path, ElementDataFile="there.raw"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"DimSize": "4 0 2"}, "unreadable"),
        ({"DimSize": "4 -3 -2"}, "unreadable"),
        ({"DimSize": "4 3"}, "unreadable"),
        ({"DimSize": "4 3 2.5"}, "unreadable"),
        ({"DimSize": "9999999999999999999 3 2"}, "too_large"),
        ({"DimSize": "1000 1000 200"}, "unreadable"),
        ({"DimSize": "2000 2000 2000"}, "too_large"),
        ({"NDims": "4", "DimSize": "4 3 1 2"}, "not_3d"),
        ({"NDims": "99"}, "unreadable"),
        ({"ElementSpacing": "1 0 1"}, "bad_affine"),
        ({"ElementSpacing": "1 -1 1"}, "bad_affine"),
        ({"ElementSpacing": "1 nan 1"}, "unreadable"),
        ({"ElementSpacing": "1e-9 1 1"}, "bad_affine"),
        ({"Offset": "0 inf 0"}, "unreadable"),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "bad_affine"),
        ({"TransformMatrix": "1 0 0"}, "unreadable"),
        ({"ElementType": "MET_STRING"}, "unsupported_type"),
        ({"ElementType": "MET_FLOAT"}, "unreadable"),
        ({"ElementNumberOfChannels": "0"}, "unreadable"),
        ({"ElementNumberOfChannels": "100000"}, "unreadable"),
        ({"BinaryData": "False"}, "unsupported_type"),
        ({"BinaryDataByteOrderMSB": "maybe"}, "unreadable"),
        ({"ObjectType": "Tube"}, "unsupported_type"),
        ({"ElementToIntensityFunctionSlope": "2"}, "unsupported_type"),
        ({"CompressedData": "True"}, "unreadable"),
        ({"ElementType": None}, "unreadable"),
        ({"DimSize": None}, "unreadable"),
    ],
)
def test_bad_fields_are_named(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    assert reason(meta(tmp_path / "x.mha", **changes)) == expected


def test_a_field_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = meta(tmp_path / "x.mha")
    path.write_bytes(path.read_bytes().replace(b"DimSize", b"DimSize = 400 300 200\nDimSize", 1))
    assert reason(path) == "unreadable"


def test_a_zlib_bomb_is_refused_and_padding_is_not(tmp_path: Path) -> None:
    bomb = zlib.compress(VOXELS.tobytes() + bytes(2**26))
    assert reason(meta(tmp_path / "x.mha", bomb, CompressedData="True")) == "too_large"
    padded = zlib.compress(VOXELS.tobytes() + bytes(512))
    assert formats.read(meta(tmp_path / "y.mha", padded, CompressedData="True")).shape == (4, 3, 2)
    small = meta(tmp_path / "z.mha", zlib.compress(bytes(48)), CompressedData="True", DimSize="400 300 200")
    with pytest.raises(CaseError, match="holds at most"):
        formats.read(small, Limits())
