"""Files that come in: whole or not at all, and never more than allowed."""

from pathlib import Path
from typing import Any

import pytest

from client.site import Site
from client.uploads.receiving import Receiver, folder_of
from client.uploads.room import Room, TooLargeError
from shared.errors import DataError
from tests.client.predict.readings import site_of

UPLOAD = "0123456789abcdef"


def receiver(work: Path, **uploads: Any) -> Receiver:
    site = site_of(work, uploads={"keep_free_gb": 0, **uploads})
    return Receiver(site, Room(site))


def put(receiver: Receiver, name: str, content: bytes, *, size: int | None = None) -> None:
    with receiver.file(UPLOAD, name, len(content) if size is None else size) as stream:
        stream.write(content)


def files(site: Site) -> list[str]:
    folder = folder_of(site, UPLOAD)
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_file_lies_under_its_name_for_its_owner_only(tmp_path: Path) -> None:
    one = receiver(tmp_path)
    put(one, "ct/1.dcm", b"abc")
    path = folder_of(one.site, UPLOAD) / "incoming/ct/1.dcm"
    assert path.read_bytes() == b"abc"
    assert [p.stat().st_mode & 0o077 for p in (path, path.parent, folder_of(one.site, UPLOAD))] == [0, 0, 0]


def test_a_broken_connection_leaves_nothing_and_is_not_counted(tmp_path: Path) -> None:
    one = receiver(tmp_path, batch_gb=2e-6)
    coming = one.file(UPLOAD, "a.nii", 2000)
    coming.__enter__().write(b"a" * 1000)
    assert [name.partition("/")[0] for name in files(one.site)] == ["partial"]
    error = ConnectionError()
    assert not coming.__exit__(ConnectionError, error, None)
    assert files(one.site) == []
    put(one, "a.nii", b"a" * 2000)  # which would be too much together
    assert files(one.site) == ["incoming/a.nii"]


@pytest.mark.parametrize("size", [2, 4])
def test_another_size_than_was_said_is_refused(size: int, tmp_path: Path) -> None:
    one = receiver(tmp_path)
    with pytest.raises(DataError, match=f"3 of {size} bytes came"):
        put(one, "a.nii", b"abc", size=size)
    assert files(one.site) == []


def test_a_large_file_is_refused_before_it_is_written(tmp_path: Path) -> None:
    one = receiver(tmp_path, file_gb=1e-6)
    with pytest.raises(TooLargeError, match=r"uploads\.file_gb"), one.file(UPLOAD, "a.nii", 1001):
        raise AssertionError
    assert not folder_of(one.site, UPLOAD).exists()
    put(one, "a.nii", b"a" * 1000)


def test_several_at_once_do_not_go_beyond_the_bound_together(tmp_path: Path) -> None:
    one = receiver(tmp_path, batch_gb=1e-6)
    with one.file(UPLOAD, "a.nii", 600) as stream:
        with pytest.raises(TooLargeError, match="another upload"):
            put(one, "b.nii", b"b" * 600)
        with one.file("another", "b.nii", 600) as other:  # has a bound of its own
            other.write(b"b" * 600)
        stream.write(b"a" * 600)
    with pytest.raises(TooLargeError):
        put(one, "c.nii", b"c" * 401)
    put(one, "c.nii", b"c" * 400)


def test_what_came_in_before_a_restart_counts(tmp_path: Path) -> None:
    put(receiver(tmp_path), "a.nii", b"a" * 600)
    again = receiver(tmp_path, batch_gb=1e-6, batch_files=2)
    with pytest.raises(TooLargeError):
        put(again, "b.nii", b"b" * 401)
    put(again, "b.nii", b"b")
    with pytest.raises(TooLargeError, match="takes 2 files"):
        put(again, "c.nii", b"c")


def test_a_full_disk_is_told_before_it_is_full(tmp_path: Path) -> None:
    one = receiver(tmp_path, keep_free_gb=99_999)
    with pytest.raises(DataError, match="make room"):
        put(one, "a.nii", b"a")


@pytest.mark.parametrize("name", ["a.nii", "a.nii/b.nii"])
def test_a_name_is_given_once(name: str, tmp_path: Path) -> None:
    one = receiver(tmp_path)
    put(one, "a.nii", b"first")
    with pytest.raises(DataError, match="already"):
        put(one, name, b"second")
    assert (folder_of(one.site, UPLOAD) / "incoming/a.nii").read_bytes() == b"first"


def test_it_is_closed_when_all_is_there_and_takes_no_more(tmp_path: Path) -> None:
    one = receiver(tmp_path)
    with pytest.raises(DataError, match="no file came in"):
        one.close(UPLOAD)
    with one.file(UPLOAD, "a.nii", 1) as stream:
        with pytest.raises(DataError, match="still coming"):
            one.close(UPLOAD)
        stream.write(b"a")
    one.close(UPLOAD)
    with pytest.raises(DataError, match="finished"):
        put(one, "b.nii", b"b")
