"""After a kill or a damaged disk, the newest whole checkpoint is found, and never another study's."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.checkpoint import Checkpoint, load_newest
from shared.errors import CheckpointError
from shared.model import digest


def checkpoint(number: int) -> Checkpoint:
    rng = np.random.default_rng(number)
    return Checkpoint(
        round=number,
        weights={"w": rng.normal(size=(2, 3)).astype(np.float32), "bias": np.array([number], np.float32)},
        state={"m/w": rng.normal(size=(2, 3))},
        history={"study_digest": "s" * 64, "rounds": list(range(number)), "note": "Σ ≤ ε"},
    )


def newest(folder: Path) -> Checkpoint | None:
    return load_newest(folder, study_digest="s" * 64)


def same(found: Checkpoint | None, expected: Checkpoint) -> bool:
    return found is not None and (
        (found.round, found.history) == (expected.round, expected.history)
        and digest(found.weights) == digest(expected.weights)
        and digest(found.state) == digest(expected.state)
    )


def test_what_is_saved_is_loaded_to_the_bit(tmp_path: Path) -> None:
    checkpoint(3).save(tmp_path)
    assert same(newest(tmp_path), checkpoint(3))


def test_without_any_file_there_is_nothing_to_resume(tmp_path: Path) -> None:
    assert newest(tmp_path / "missing") is None
    assert newest(tmp_path) is None


def test_only_the_newest_two_are_kept_also_beyond_four_digits(tmp_path: Path) -> None:
    for number in (8, 9, 9998, 9999, 10000, 10001):
        checkpoint(number).save(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"round-10000.safetensors", "round-10001.safetensors"}
    assert same(newest(tmp_path), checkpoint(10001))


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_flipped_bit_anywhere_falls_back_to_the_one_before(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    for number in (1, 2):
        checkpoint(number).save(folder)
    path = folder / "round-0002.safetensors"
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    assert same(newest(folder), checkpoint(1))


@pytest.mark.parametrize("length", [0, 7, 100])
def test_a_truncated_file_falls_back_to_the_one_before(length: int, tmp_path: Path) -> None:
    for number in (1, 2):
        checkpoint(number).save(tmp_path)
    path = tmp_path / "round-0002.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    assert same(newest(tmp_path), checkpoint(1))


def test_when_all_are_damaged_the_error_names_them_and_says_what_to_do(tmp_path: Path) -> None:
    for number in (1, 2):
        checkpoint(number).save(tmp_path)
        (tmp_path / f"round-000{number}.safetensors").write_bytes(b"x" * 50)
    with pytest.raises(CheckpointError, match="without --resume") as caught:
        newest(tmp_path)
    assert "round-0001" in str(caught.value)
    assert "round-0002" in str(caught.value)


def test_another_studys_checkpoint_is_refused_with_advice(tmp_path: Path) -> None:
    checkpoint(1).save(tmp_path)
    with pytest.raises(CheckpointError, match=r"belongs to study ssssssssssss.*choose another --out"):
        load_newest(tmp_path, study_digest="t" * 64)


def test_a_half_written_file_is_ignored(tmp_path: Path) -> None:
    checkpoint(1).save(tmp_path)
    whole = (tmp_path / "round-0001.safetensors").read_bytes()
    (tmp_path / ".round-0002.safetensors.00ff00ff.tmp").write_bytes(whole[: len(whole) // 2])
    (tmp_path / ".round-0003.safetensors.00ff00ff.tmp").write_bytes(whole)
    assert same(newest(tmp_path), checkpoint(1))
