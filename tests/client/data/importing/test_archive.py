"""A zip is imported like the folder that was packed; one that is not sound is refused by name, soon."""

import os
import shutil
import stat
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from client.data.importing import archive
from client.data.importing.archive import unpacked
from shared.errors import ConfigError, DataError
from tests.client.data.importing.imports import imported, snapshot
from tests.client.data.layouts.trees import write_folders

MOST_S = 1.0
LONG = ("x" * 300, "a/" * 2000 + "x")
MOST_MEMORY = 2**20


def packed(path: Path, entries: dict[str, bytes], kind: int = 0, how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as file:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)
            info.filename = info.orig_filename = name  # ZipInfo would mend it
            info.compress_type = how
            info.external_attr = (kind | 0o644) << 16
            file.writestr(info, content)
    return path


def refusal(path: Path, folder: Path) -> str:
    with pytest.raises(DataError) as error, unpacked(path, folder):
        pytest.fail("it was unpacked")
    assert not folder.exists()
    return str(error.value)


def test_a_zip_is_imported_as_its_folder_would_be(tmp_path: Path) -> None:
    write_folders(tmp_path / "in/data", 2)
    shutil.make_archive(str(tmp_path / "data"), "zip", tmp_path / "in")
    with zipfile.ZipFile(tmp_path / "data.zip", "a") as file:
        file.writestr("__MACOSX/data/._x.nii.gz", b"of a system")
    imported(tmp_path / "in/data", tmp_path / "one")
    imported(tmp_path / "data.zip", tmp_path / "two", key=tmp_path / "one.key")
    assert snapshot(tmp_path / "two") == snapshot(tmp_path / "one")
    imported(tmp_path / "data.zip", tmp_path / "two", key=tmp_path / "one.key")
    assert snapshot(tmp_path / "two") == snapshot(tmp_path / "one")


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/x", "..\\x", "a\\..\\..\\x", "C:/x", "C:x", "a/..", "a\0b", ".", *LONG],
)
def test_a_name_that_leads_out_is_refused_at_once_and_by_name(name: str, tmp_path: Path) -> None:
    path = packed(tmp_path / "x.zip", {"good.nii": b"1", name: b"2"})
    tracemalloc.start()
    began = time.monotonic()
    text = refusal(path, tmp_path / "there")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.monotonic() - began < MOST_S
    assert peak < MOST_MEMORY
    assert repr(name)[1:20].rstrip("'") in text
    assert [file.name for file in tmp_path.iterdir()] == ["x.zip"]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_link_or_device_is_refused(kind: int, tmp_path: Path) -> None:
    assert "'a' is" in refusal(packed(tmp_path / "x.zip", {"a": b"/etc/passwd"}, kind), tmp_path / "there")


def test_two_entries_at_one_place_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("a", b"2")
    assert "'a' is in it twice" in refusal(tmp_path / "x.zip", tmp_path / "there")
    packed(tmp_path / "y.zip", {"a": b"1", "a/b": b"2"})
    assert "as a file and as a folder" in refusal(tmp_path / "y.zip", tmp_path / "there")


def test_a_bomb_is_refused_by_what_it_declares(tmp_path: Path) -> None:
    path = packed(tmp_path / "x.zip", {"a": b"\0" * (archive.SMALL_BYTES + 1)})
    began = time.monotonic()
    assert "would unpack to" in refusal(path, tmp_path / "there")
    assert time.monotonic() - began < MOST_S


def lying(path: Path, size: int) -> Path:
    """An archive that declares another size for its entry than there is."""
    content = bytearray(packed(path, {"a": b"\1" * 5000}).read_bytes())
    declared = (5000).to_bytes(4, "little")
    assert content.count(declared) == 2
    path.write_bytes(content.replace(declared, size.to_bytes(4, "little")))
    return path


@pytest.mark.parametrize("size", [10, 4999, 5001, 2**26])
def test_an_entry_of_another_size_than_it_says_is_refused(size: int, tmp_path: Path) -> None:
    refusal(lying(tmp_path / "x.zip", size), tmp_path / "there")


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[:-30],
    "no list": lambda content: content.replace(b"PK\1\2", b"PK\7\7"),
    "a flipped byte": lambda content: content[:60] + bytes([content[60] ^ 255]) + content[61:],
    "empty": lambda _content: b"PK\5\6" + b"\0" * 18,
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_archive_is_an_error_of_ours(how: str, tmp_path: Path) -> None:
    path = packed(tmp_path / "x.zip", {"a.nii": os.urandom(500), "b.nii": os.urandom(500)})
    path.write_bytes(DAMAGE[how](path.read_bytes()))
    with pytest.raises((DataError, ConfigError)):
        imported(path, tmp_path / "out")
    assert not list(tmp_path.glob("out/.unpacked"))


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    inner = packed(tmp_path / "inner.zip", {"b": b"\1" * 9000}, how=zipfile.ZIP_STORED)
    with zipfile.ZipFile(inner) as file:
        (b,) = file.infolist()
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("a", inner.read_bytes()[: 31 + b.compress_size])
        b.header_offset = 31  # inside a, after its header
        file.filelist.append(b)
    assert "they share some" in refusal(tmp_path / "x.zip", tmp_path / "there")


def test_an_error_while_the_folder_is_used_is_not_the_archives(tmp_path: Path) -> None:
    path = packed(tmp_path / "x.zip", {"a": b"1"})
    with pytest.raises(OSError, match="of another"), unpacked(path, tmp_path / "t"):
        raise OSError("of another")
    assert not (tmp_path / "t").exists()


def test_what_is_encrypted_or_packed_another_way_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "x.zip", {"a": b"1" * 100}, how=zipfile.ZIP_LZMA)
    assert "not packed by deflate" in refusal(path, tmp_path / "there")
    content = bytearray(packed(tmp_path / "y.zip", {"a": b"1" * 100}).read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "y.zip").write_bytes(content)
    assert "encrypted" in refusal(tmp_path / "y.zip", tmp_path / "there")


def test_a_list_that_is_too_long_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "x.zip", {f"{number:050}": b"" for number in range(100)})
    monkeypatch.setattr(archive, "MOST_ENTRIES", 99)
    assert "100 entries" in refusal(path, tmp_path / "there")
    monkeypatch.setattr(archive, "MOST_DIRECTORY_BYTES", 5000)
    assert "list of entries" in refusal(path, tmp_path / "there")


def test_what_an_earlier_one_left_unpacked_is_removed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/old").touch()
    with unpacked(packed(tmp_path / "x.zip", {"a/b/c": b"1", "a/b/d": b"2"}), tmp_path / "there") as top:
        assert {path.name for path in top.iterdir()} == {"c", "d"}
    assert not (tmp_path / "there").exists()
