"""Gzip is read by another library than Python's: what it gives and refuses is compared with Python's own."""

import gzip
import io
import random
import zlib
from pathlib import Path

import numpy as np
import pytest

from client.data.formats.streams import opened, start_of

CONTENT = np.random.default_rng(0).integers(0, 50, 3000).astype(np.int16).tobytes() + bytes(2000)
PACKED = gzip.compress(CONTENT, 6, mtime=0)
SOUND = {
    "one": PACKED,
    "stored": gzip.compress(CONTENT, 0),
    "empty": gzip.compress(b""),
    "two members": PACKED + gzip.compress(b"more"),
    "zeros after it": PACKED + bytes(40),
    "zeros between": PACKED + bytes(3) + PACKED,
    "extra field": PACKED[:3] + b"\4" + PACKED[4:10] + b"\3\0abc" + PACKED[10:],
    "name": PACKED[:3] + b"\10" + PACKED[4:10] + b"scan.nii\0" + PACKED[10:],
}
DAMAGED = {
    "trailing letters": PACKED + b"x",
    "half a member": PACKED + b"\x1f\x8b",
    "checksum": PACKED[:-8] + bytes(4) + PACKED[-4:],
    "length": PACKED[:-4] + bytes(4),
    "cut": PACKED[:-20],
    "method": PACKED[:2] + b"\7" + PACKED[3:],
}


def read(path: Path, content: bytes) -> bytes | None:
    """What the stream gives in pieces; None if it raises."""
    path.write_bytes(content)
    found = b""
    try:
        with opened(path) as (stream, most):
            while piece := stream.read(1000):
                found += piece
    except Exception:
        return None
    assert len(found) <= most
    return found


def oracle(content: bytes) -> bytes | None:
    try:
        return gzip.GzipFile(fileobj=io.BytesIO(content)).read()
    except (OSError, EOFError, zlib.error):
        return None


@pytest.mark.parametrize("name", SOUND)
def test_sound_gzip_is_unpacked_as_python_unpacks_it(name: str, tmp_path: Path) -> None:
    expected = oracle(SOUND[name])
    assert expected is not None
    assert read(tmp_path / "x", SOUND[name]) == expected


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_gzip_is_refused(name: str, tmp_path: Path) -> None:
    assert oracle(DAMAGED[name]) is None
    assert read(tmp_path / "x", DAMAGED[name]) is None


def test_no_damage_is_let_through_that_python_refuses(tmp_path: Path) -> None:
    rng = random.Random(0)  # noqa: S311  # damage need not be secret
    whole, refused = list(SOUND.values()), 0
    for _ in range(2000):
        content = bytearray(rng.choice(whole))
        at = rng.randrange(rng.choice([20, len(content)]))
        match rng.randrange(3):
            case 0:
                content[at] ^= 1 << rng.randrange(8)
            case 1:
                del content[max(at, 2) :]
            case _:
                content[at:at] = content[at : at + rng.randrange(9)]
        if content[:2] != b"\x1f\x8b":
            continue
        found, expected = read(tmp_path / "x", bytes(content)), oracle(bytes(content))
        refused += found is None
        assert found in (expected, None)  # a damaged checksum of the header is refused here alone
    assert refused > 1000


def test_the_start_of_what_cannot_be_unpacked_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(PACKED[:10] + b"\xff" * 50)
    assert start_of(path, 10, unpack=True) == b""
    assert start_of(path, 2) == PACKED[:2]
    assert start_of(tmp_path / "nowhere", 10, unpack=True) == b""
