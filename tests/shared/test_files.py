import os
from pathlib import Path

import pytest

from shared.errors import DataError
from shared.files import folder_atomically, one_at_a_time, private_folder, write_atomically


def test_the_file_and_its_folders_appear_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    with write_atomically(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent  # a rename across file systems would be a copy
    assert path.read_text() == "whole"
    assert [p.name for p in path.parent.iterdir()] == ["c.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_exception_the_old_content_stays_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "c.txt"
    path.write_text("old")
    with pytest.raises(error), write_atomically(path) as temporary:  # noqa: PT012 - the block is what is tested
        temporary.write_text("ha")
        raise error
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["c.txt"]


def test_a_failing_rename_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.txt"
    path.write_text("old")

    def fail(source: Path, target: Path) -> Path:
        raise OSError("disk gone")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk gone"), write_atomically(path) as temporary:
        temporary.write_text("new")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_content_is_on_the_disk_before_the_rename_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.txt"
    seen: list[tuple[str, bool]] = []

    def synced(handle: int) -> None:
        seen.append((Path(f"/proc/self/fd/{handle}").readlink().name, path.exists()))

    monkeypatch.setattr(os, "fsync", synced)
    with write_atomically(path) as temporary:
        temporary.write_text("new")
    assert seen == [(temporary.name, False), (tmp_path.name, True)]


def test_two_writers_never_share_a_temporary(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    with write_atomically(path) as one, write_atomically(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # the last to finish


def test_a_private_file_is_private_from_its_first_byte(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with write_atomically(path, private=True) as temporary:
        assert temporary.stat().st_mode & 0o777 == 0o600
        temporary.write_text("key")
    assert path.read_text() == "key"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_private_folder_is_closed_to_others_also_if_it_was_open(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    for name in ("open", "new/inner"):
        assert private_folder(tmp_path / name).stat().st_mode & 0o777 == 0o700


def test_a_file_that_is_not_durable_is_whole_but_not_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: pytest.fail("flushed"))
    path = tmp_path / "c.txt"
    with write_atomically(path, durable=False) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert [p.read_text() for p in tmp_path.iterdir()] == ["new"]


def test_a_folder_takes_the_place_of_the_old_one_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder"
    for name in ("old", "new"):
        with folder_atomically(path) as draft:
            (draft / name).write_text(name)
            assert not (path / name).exists()
    assert [file.name for file in path.iterdir()] == ["new"]
    assert [file.name for file in path.parent.iterdir()] == ["folder"]
    assert path.stat().st_mode & 0o077 == 0


def test_after_an_exception_the_old_folder_stays_and_nothing_else(tmp_path: Path) -> None:
    with folder_atomically(tmp_path / "folder") as draft:
        (draft / "old").touch()

    def fail() -> None:
        with folder_atomically(tmp_path / "folder") as draft:
            (draft / "half").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [file.name for file in (tmp_path / "folder").iterdir()] == ["old"]
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def test_a_lock_is_held_by_one_and_free_again_afterwards(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    held, refused = (one_at_a_time(lock, "somebody is at work") for _ in range(2))
    with held, pytest.raises(DataError, match="somebody"), refused:
        pass
    with one_at_a_time(lock, "never"):
        pass
