"""What every format keeps, on good files, on damaged ones, and on what is no file at all."""

import os
import random
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from client.data import formats
from client.data.formats import FORMATS, Limits, find
from client.data.volumes import Volume, to_ras
from shared.errors import CaseError
from tests.client.data.formats.conftest import Good
from tests.client.data.formats.samples import SAMPLES, picture

SMALL = Limits(max_voxels=20_000, max_bytes=2**18, max_offset=2**18, max_tail=2**12, max_files=64)
MUTATIONS = 200  # a format, at least
MOST_MEMORY = 2**24  # bytes: chunks of a stream and of a decoder, and nothing that a header declares
MOST_S = 5.0  # for one file, on a machine that does other things as well


def outcome(path: Path, limits: Limits = SMALL) -> Volume | CaseError:
    """Whatever comes out; any other exception fails the test."""
    try:
        return formats.read(path, limits)
    except CaseError as error:
        return error


def reason(path: Path, limits: Limits = SMALL) -> str:
    found = outcome(path, limits)
    assert isinstance(found, CaseError)
    assert str(found).endswith(".")
    return found.reason


def content_of(good: Good, copy: Path) -> Path:
    """The file of a copy that holds the voxels, or one of them."""
    files = [
        copy.parent / file.relative_to(good.path.parent) if not good.path.is_dir() else copy / file.name
        for file in formats.header(good.path).files
    ]
    return files[-1]


def test_every_format_has_samples() -> None:
    assert {sample.format for sample in SAMPLES} == {known.name for known in FORMATS}


def test_a_file_is_recognised_by_its_content_and_by_one_format_alone(good: Good) -> None:
    claims = [known.name for known in FORMATS if known.recognises(good.path)]
    assert claims[0] == find(good.path).name == good.sample.format
    assert set(claims) - {good.sample.format} <= ({"dicom"} if good.sample.format == "dicom_seg" else set())


def test_a_name_without_a_suffix_changes_nothing_for_one_file(good: Good, tmp_path: Path) -> None:
    if good.path.is_dir() or len(formats.header(good.path).files) > 1:
        pytest.skip("several files find each other by name")
    renamed = good.copy(tmp_path).rename(tmp_path / "anything")
    np.testing.assert_array_equal(formats.read(renamed).array, good.array)


def test_voxels_and_affine_are_those_that_were_written(good: Good) -> None:
    volume = formats.read(good.path)
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array, good.array)
    np.testing.assert_allclose(volume.affine, good.affine, atol=1e-5)


def test_the_header_says_what_will_be_read(good: Good) -> None:
    header, volume = formats.header(good.path), formats.read(good.path)
    assert header.format == good.sample.format
    assert header.shape == volume.shape
    assert volume.array.ndim == (4 if header.components > 1 else 3)
    assert header.components == (len(volume.array) if volume.array.ndim == 4 else 1)
    np.testing.assert_array_equal(header.affine, volume.affine)
    assert all(file.is_file() for file in header.files)
    if header.format != "dicom_seg":  # a SEG stores bits of some slices
        assert header.bytes_declared == volume.array.size * header.dtype.itemsize


def test_the_volume_turns_to_ras_with_every_component(good: Good) -> None:
    turned = to_ras(formats.read(good.path))
    assert sorted(turned.array.ravel()) == sorted(good.array.ravel())
    assert turned.array.ndim == good.array.ndim


def test_one_voxel_more_than_the_site_allows_is_too_large(good: Good) -> None:
    values = int(np.prod(formats.header(good.path).shape)) * formats.header(good.path).components
    assert isinstance(outcome(good.path, Limits(max_voxels=values)), Volume)
    tight = Limits(max_voxels=values - 1)
    assert reason(good.path, tight) == "too_large"
    with pytest.raises(CaseError) as caught:
        formats.header(good.path, tight)
    assert caught.value.reason == "too_large"


def test_the_header_is_judged_without_the_voxels(good: Good) -> None:
    formats.header(good.path)
    tracemalloc.start()
    try:
        formats.header(good.path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_file_that_ends_early_is_refused_wherever_it_ends(good: Good, tmp_path: Path) -> None:
    path = good.copy(tmp_path / "cut")
    file = content_of(good, path)
    whole = file.read_bytes()
    for length in sorted({0, 1, 2, 100, 131, 200, len(whole) // 2, len(whole) * 9 // 10, len(whole) - 30}):
        file.write_bytes(whole[:length])
        found = outcome(path)
        assert isinstance(found, CaseError), f"{length} of {len(whole)} bytes"
        assert str(tmp_path) in str(found)


def test_what_is_no_file_is_unreadable(good: Good, tmp_path: Path) -> None:
    name = good.path.name if not good.path.is_dir() else "x.dcm"
    assert reason(tmp_path / name) == "unreadable"
    (tmp_path / name).mkdir()
    assert reason(tmp_path / name) == "unreadable"
    (tmp_path / name).rmdir()
    os.mkfifo(tmp_path / name)  # opened, it would wait for a writer for ever
    assert reason(tmp_path / name) == "unreadable"


def test_damaged_files_give_a_volume_or_a_case_error_and_nothing_else(good: Good, tmp_path: Path) -> None:
    path = good.copy(tmp_path / "damaged")
    sources = [file for file in sorted((tmp_path / "damaged").rglob("*")) if file.is_file()]
    whole = {file: file.read_bytes() for file in sources}
    named = formats.header(good.path).files
    sources = [file for file in sources if any(file.name == other.name for other in named)]
    rng = random.Random(good.sample.name)  # noqa: S311  # damage need not be secret
    of_this_format = sum(sample.format == good.sample.format for sample in SAMPLES)
    count = max(-(-MUTATIONS // of_this_format), 70)
    refused = 0
    tracemalloc.start()
    try:
        for number in range(count):
            file = rng.choice(sources)
            file.write_bytes(damaged(whole[file], rng))
            tracemalloc.reset_peak()
            before, began = tracemalloc.get_traced_memory()[0], time.monotonic()
            found = outcome(path)
            assert time.monotonic() - began < MOST_S, number
            assert tracemalloc.get_traced_memory()[1] - before < MOST_MEMORY, number
            if isinstance(found, CaseError):
                refused += 1
                assert found.reason.isidentifier()
            else:
                assert found.array.dtype == np.float32
                assert found.array.size <= SMALL.max_voxels
                assert np.isfinite(found.affine).all()
            file.write_bytes(whole[file])
    finally:
        tracemalloc.stop()
    assert refused > count // 20  # the damage does damage


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Flip bits, overwrite fields with extreme numbers, cut, repeat or drop; mostly in the header."""
    changed = bytearray(content)
    reach = rng.choice([64, 400, 2000, len(changed)])
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(min(reach, len(changed))) if changed else 0
        match rng.randrange(6):
            case 0:
                changed[at : at + 1] = bytes([changed[at] ^ (1 << rng.randrange(8))]) if changed else b""
            case 1:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 2:
                value = rng.choice([0, 1, 2**15 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1])
                size = rng.choice([2, 4, 8])
                changed[at : at + size] = (value % 256**size).to_bytes(size, rng.choice(["little", "big"]))
            case 3:
                del changed[rng.randrange(len(changed) + 1) :]
            case 4:
                end = at + rng.randrange(1, 64)
                changed[at:at] = changed[at:end]
            case _:
                digits = [spot for spot in range(min(len(changed), 2000)) if 48 <= changed[spot] <= 57]
                if digits:  # numbers that are written as text
                    changed[rng.choice(digits)] = ord(rng.choice("0123456789-.eE"))
    return bytes(changed)


def test_limits_are_those_of_the_largest_study_that_was_allowed_before() -> None:
    assert Limits().max_voxels == 2**28
    assert picture(0).size <= SMALL.max_voxels
