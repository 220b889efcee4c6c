import os
import threading
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from client.data import formats
from client.data.layouts.base import Listed
from client.data.limits import Limits
from client.predict.source import SourceFiles
from client.web.volumes import Volumes, _write
from shared.errors import CaseError

LIMITS = Limits()


def source_at(folder: Path, *values: int, channels: tuple[str, ...] = ("t1", "t2")) -> SourceFiles:
    """A scan of two channels, each 1 kB of one value, one file each."""
    folder.mkdir(parents=True, exist_ok=True)
    images = {}
    for name, value in zip(channels, values, strict=True):
        images[name] = folder / f"{name}.nii"
        array = np.full((8, 8, 8), value, np.int16)
        array[0, 0, 0] += 1
        nib.save(nib.Nifti1Image(array, np.eye(4)), images[name])
    return SourceFiles.of(Listed(folder.name, images, None), channels, LIMITS)


def test_each_channel_is_its_own_file(tmp_path: Path) -> None:
    source = source_at(tmp_path / "a", 3, 7)
    volumes = Volumes(tmp_path / "made")
    shown = {
        name: nib.load(volumes.image(source, name, LIMITS)).get_fdata()[4, 4, 4] for name in ("t2", "t1")
    }
    assert shown == {"t1": 3, "t2": 7}


def test_what_was_opened_longest_ago_makes_room(tmp_path: Path) -> None:
    volumes = Volumes(tmp_path / "made", most_bytes=3500)  # three of 1376 bytes do not fit
    first, second, third = (
        (source_at(tmp_path / name, number, 0), "t1") for number, name in enumerate("abc", 1)
    )
    old = volumes.image(*first, LIMITS)
    kept = volumes.image(*second, LIMITS)
    os.utime(kept, (1, 1))
    os.utime(old, (0, 0))
    volumes.image(*first, LIMITS)  # opened again: now the second is the older
    new = volumes.image(*third, LIMITS)
    assert {path for path in (old, kept, new) if path.exists()} == {old, new}


def test_a_scan_larger_than_all_room_is_shown_all_the_same(tmp_path: Path) -> None:
    made = Volumes(tmp_path / "made", most_bytes=10).image(source_at(tmp_path / "a", 1, 2), "t1", LIMITS)
    assert made.exists()


def test_two_who_open_one_scan_get_one_file(tmp_path: Path) -> None:
    source, volumes = source_at(tmp_path / "a", 1, 2), Volumes(tmp_path / "made")
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(volumes.image(source, "t1", LIMITS))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert list((tmp_path / "made").iterdir()) == [found[0]]
    assert found[0].stat().st_mode & 0o077 == 0


def test_the_record_of_the_files_is_read_back_and_private(tmp_path: Path) -> None:
    source = source_at(tmp_path / "a", 1, 2)
    source.write(tmp_path / "source.json")
    assert SourceFiles.read(tmp_path / "source.json") == source
    assert (tmp_path / "source.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("change", "reason"), [("remove", "moved"), ("replace", "changed")])
def test_only_the_very_files_that_were_read_are_shown(tmp_path: Path, change: str, reason: str) -> None:
    source = source_at(tmp_path / "a", 1, 2)
    path = source.images["t1"]
    path.unlink()
    if change == "replace":
        source_at(tmp_path / "a", 5, 2)
    with pytest.raises(CaseError) as caught:
        source.volume("t1", LIMITS)
    assert caught.value.reason == reason


@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.int16, np.uint16, np.float32]),
        st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)),
        elements=st.integers(0, 100),
    )
)
def test_what_is_written_reads_back_to_the_voxel(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray
) -> None:
    path = tmp_path_factory.mktemp("volume") / "one.nii"
    affine = np.diag([2.0, -1.0, 3.0, 1.0])
    _write(path, array, affine)
    read = formats.read_narrow(path)
    assert np.array_equal(read.array, array)
    assert np.allclose(read.affine, affine)
