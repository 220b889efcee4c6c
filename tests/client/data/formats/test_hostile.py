"""Files that were made to do harm, read by a process that may use little memory and little time."""

import gzip
import io
import json
import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom import uid

from client.data import formats
from shared.errors import CaseError
from tests.client.data.formats.dicoms import save, slice_of
from tests.client.data.formats.samples import oblique, picture

MOST_S = 2.0  # the longest take a third of it on an idle machine
EMPTY = struct.pack("<HH2sH", 0x11, 0x10, b"LO", 0)  # an element without a value
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)  # of a sequence
HEADROOM = 2**28  # bytes of address space beyond what the imports take

READER = """
import json, resource, sys, time
from pathlib import Path
from client.data import formats
from shared.errors import CaseError
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[1]),) * 2)
found = {}
for name in sys.argv[2:]:
    began = time.process_time()
    try:
        formats.read(Path(name))
        outcome = "read"
    except CaseError as error:
        outcome = error.reason
    found[Path(name).name] = [outcome, time.process_time() - began]
print(json.dumps(found))
"""


def nifti(**fields: object) -> bytes:
    header = nib.Nifti1Header()
    header["dim"][:4] = (3, 4, 3, 2)
    header["vox_offset"], header["datatype"], header["bitpix"] = 352, 4, 16
    header["pixdim"][1:4] = 1
    header.set_sform(np.eye(4), 1)
    for name, value in fields.items():
        header[name] = value
    return bytes(header.binaryblock) + bytes(4) + bytes(48)


def mha(sizes: str, voxels: bytes, *, packed: bool = False) -> bytes:
    return (
        f"ObjectType = Image\nNDims = 3\nCompressedData = {packed}\nDimSize = {sizes}\n"
        "ElementSpacing = 1 1 1\nElementType = MET_DOUBLE\nElementDataFile = LOCAL\n"
    ).encode() + voxels


def tiff(**tags: tuple[int, int, int]) -> bytes:
    """Tags `t<number>`: (type, count, value)."""
    table = b"".join(
        struct.pack("<HHII", int(name[1:]), *value)
        for name, value in sorted(tags.items(), key=lambda t: int(t[0][1:]))
    )
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + table + bytes(4) + bytes(200)


def nested_dicom(depth: int, *, declared: bool) -> bytes:
    """Sequences inside sequences, without an end or with lengths that lie."""
    start = io.BytesIO()
    meta = struct.pack("<HH2sH", 2, 0x10, b"UI", 20) + uid.ExplicitVRLittleEndian.encode() + b"\0"
    start.write(bytes(128) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta)) + meta)
    length = 0xFFFFFFF0 if declared else 0xFFFFFFFF
    level = struct.pack("<HH2sHI", 0x5200, 0x9230, b"SQ", 0, length) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, length
    )
    return start.getvalue() + level * depth


def corpus(folder: Path) -> dict[str, tuple[Path, set[str]]]:
    """Name -> file and the reasons with which it may be refused."""
    small = nib.Nifti1Image(picture(0), oblique(1, 1, 1)).to_bytes()
    sound = slice_of(picture(0), oblique(1, 1, 1), 0)
    dicom = save(sound, folder / "sound.dcm").read_bytes()
    rle = save(sound, folder / "rle.dcm", uid.RLELossless).read_bytes()
    huge = save(sound, folder / "huge.dcm")
    grey = {"t258": (3, 1, 8), "t262": (3, 1, 1), "t273": (4, 1, 8), "t279": (4, 1, 100)}
    made: dict[str, tuple[bytes, set[str]]] = {
        "18GB.nii": (nifti(dim=(3, 1600, 1600, 1800, 1, 1, 1, 1))[:377], {"too_large"}),
        "1GB.nii": (nifti(dim=(3, 600, 600, 700, 1, 1, 1, 1))[:377], {"unreadable"}),
        "1GB.nii.gz": (gzip.compress(nifti(dim=(3, 600, 600, 700, 1, 1, 1, 1))), {"unreadable"}),
        "bomb.nii.gz": (gzip.compress(nifti() + bytes(2**26)), {"too_large"}),
        "bombs.nii.gz": (gzip.compress(gzip.compress(bytes(2**26))), {"unreadable"}),
        "nan.nii": (nifti(srow_x=(np.nan,) * 4), {"bad_affine"}),
        "negative.nii": (nifti(dim=(3, -4, 3, 2, 1, 1, 1, 1)), {"unreadable"}),
        "zero.nii": (nifti(dim=(3, 4, 0, 2, 1, 1, 1, 1)), {"unreadable"}),
        "spacing.nii": (nifti(srow_x=(0,) * 4, srow_y=(0,) * 4, srow_z=(0,) * 4), {"bad_affine"}),
        "cut.nii.gz": (gzip.compress(small)[:-30], {"unreadable"}),
        "magic.nii": (small.replace(b"n+1\0", b"n-1\0", 1), {"unreadable"}),
        "alone.hdr": (nifti(magic=b"ni1"), {"unreadable"}),
        "16TB.mha": (mha("32000 32000 2000", bytes(99)), {"too_large"}),
        "2GB.mha": (mha("600 600 700", bytes(99)), {"unreadable"}),
        "2GBpacked.mha": (mha("600 600 700", zlib.compress(bytes(99)), packed=True), {"unreadable"}),
        "bomb.mha": (mha("4 3 2", zlib.compress(bytes(2**26)), packed=True), {"too_large"}),
        "overflow.mha": (mha("4294967296 4294967296 4294967296", bytes(99)), {"too_large"}),
        "digits.mha": (mha("9" * 60_000, bytes(99)), {"unreadable"}),
        "endless.mha": (b"ObjectType = Image\n" + b"Comment = x\n" * 2**20, {"unreadable"}),
        "16GB.tif": (tiff(t256=(4, 1, 2**17), t257=(4, 1, 2**17), **grey), {"too_large"}),
        "200MB.tif": (tiff(t256=(4, 1, 15000), t257=(4, 1, 15000), **grey), {"unreadable"}),
        "lzw.tif": (
            tiff(t256=(4, 1, 12000), t257=(4, 1, 12000), t259=(3, 1, 5), **grey),
            {"unreadable", "too_large"},
        ),
        "blank.tif": (
            tiff(t256=(4, 1, 600), t257=(4, 1, 600), t259=(3, 1, 5), **grey),  # so few that they could be
            {"unreadable"},
        ),
        "tags.tif": (
            tiff(**{f"t{tag}": (3, 2**20, 0) for tag in range(40_000, 40_200)}) + bytes(2**21),
            {"unreadable"},
        ),
        "counts.tif": (tiff(t256=(4, 2**32 - 1, 10), t257=(4, 1, 10), **grey), {"unreadable"}),
        "loop.tif": (b"II*\0" + struct.pack("<IH", 8, 65535) + bytes(99), {"unreadable"}),
        "nested.dcm": (nested_dicom(5_000, declared=False), {"unreadable"}),
        "lying.dcm": (nested_dicom(5_000, declared=True), {"unreadable"}),
        "elements.dcm": (nested_dicom(0, declared=False) + EMPTY * 2**20, {"too_large"}),
        "items.dcm": (nested_dicom(1, declared=False) + ITEM * 2**20, {"too_large"}),
        "cut.dcm": (dicom[:-40], {"unreadable"}),
        "deflated.dcm": (
            dicom.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99", 1).replace(
                b"UI\x14\x001.2.840.10008.1.2.1.99", b"UI\x16\x001.2.840.10008.1.2.1.99", 1
            ),
            {"unsupported_type"},
        ),
        "element.dcm": (
            dicom.replace(
                b"\x28\x00\x10\x00US", b"\x28\x00\x09\x00UN\0\0\xf0\xff\xff\xff\x28\x00\x10\x00US", 1
            ),
            {"unreadable"},
        ),
        "runs.dcm": (rle, {"read"}),
    }
    sound.Rows = sound.Columns = 65535
    save(sound, huge)
    found = {"huge.dcm": (huge, {"too_large", "unreadable"})}
    sound.Rows = sound.Columns = 16000
    found["halfGB.dcm"] = (save(sound, folder / "halfGB.dcm"), {"unreadable"})
    for name, (content, expected) in made.items():
        (folder / name).write_bytes(content)
        found[name] = (folder / name, expected)
    return found


def test_hostile_files_are_refused_in_little_memory_and_time(tmp_path: Path) -> None:
    files = corpus(tmp_path)
    began = time.monotonic()
    answer = subprocess.run(
        [sys.executable, "-c", READER, str(HEADROOM), *(str(path) for path, _ in files.values())],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
    )
    assert answer.returncode == 0, answer.stderr
    assert "Warning" not in answer.stderr
    found = json.loads(answer.stdout)
    wrong = {name: found[name] for name, (_, expected) in files.items() if found[name][0] not in expected}
    slow = {name: seconds for name, (_, seconds) in found.items() if seconds > MOST_S}
    assert not wrong
    assert not slow
    assert time.monotonic() - began < 120


def test_sequences_in_sequences_are_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(nested_dicom(5_000, declared=False))
    with pytest.raises(CaseError, match="nested too deeply"):
        formats.read(tmp_path / "x.dcm")
