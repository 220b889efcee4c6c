"""What came in, unpacked and sorted: each zip and folder by itself, loose DICOM by series, the rest together.

A DICOM archive often has several series in one folder, which the layouts refuse: here each gets its own.
"""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from client.data.formats.dicom_file import is_dicom
from client.data.importing.archive import unpacked
from client.data.layouts.dicom_index import Series, indexed
from client.data.layouts.dicom_series import DICOM
from client.data.layouts.tree import Tree, ending
from client.uploads.records import Found
from shared.errors import DataError

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
SENT = ".sent"  # in each numbered folder: what it was sent as
UNPACKING = "unpacking"


@dataclass(frozen=True)
class Entry:
    """One zip or folder, or the loose files of one kind; `sent` is None for the last: each is its own."""

    path: Path
    sent: str | None


def sorted_entries(incoming: Path, scans: Path, *, most_bytes: int) -> tuple[list[Entry], list[Found]]:
    """Move what came in from `incoming` into `scans`; also the archives that were refused, which stay.

    `most_bytes` bounds what all archives unpack to. After a kill it goes on where it was.
    """
    scans.mkdir(mode=0o700, exist_ok=True)
    shutil.rmtree(scans.parent / UNPACKING, ignore_errors=True)
    refused: dict[Path, Found] = {}
    left = most_bytes
    for archive in _zips(incoming):
        name = archive.relative_to(incoming).as_posix()
        target = _place(scans, name) / (archive.stem or "zip")
        try:
            if not target.exists():
                with unpacked(archive, scans.parent / UNPACKING, most_bytes=left) as top:
                    top.rename(target)
        except DataError as error:
            text = str(error).replace(str(archive), name)
            refused[archive] = Found(name, None, reason="archive_refused", detail=text)
        else:
            left -= sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
            archive.unlink()
    for path in sorted(incoming.iterdir()):
        if path.is_dir():
            path.rename(_place(scans, path.name + "/") / path.name)
        elif path not in refused:
            loose = _place(scans, "") / ("dicom" if _is_dicom(path) else "files")
            loose.mkdir(mode=0o700, exist_ok=True)
            path.rename(loose / path.name)
    entries = list(_entries(scans))
    for entry in entries:
        _split_series(entry.path)
    return entries, list(refused.values())


def _place(scans: Path, sent: str) -> Path:
    """Return the numbered folder for what was sent under a name, and write the name down in it."""
    folders = sorted(scans.iterdir(), key=lambda path: int(path.name)) if scans.exists() else []
    for folder in folders:
        if (folder / SENT).read_text(encoding="utf-8") == sent:
            return folder
    folder = scans / str(len(folders))
    folder.mkdir(mode=0o700)
    (folder / SENT).write_text(sent, encoding="utf-8")
    return folder


def _entries(scans: Path) -> Iterator[Entry]:
    for folder in sorted(scans.iterdir(), key=lambda path: int(path.name)):
        sent = (folder / SENT).read_text(encoding="utf-8").removesuffix("/")
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                yield Entry(path, sent or None)


def _zips(folder: Path) -> list[Path]:
    """Find archives by their first bytes, whatever they are called."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                if file.read(4) in ZIP:
                    found.append(path)
    return found


def _is_dicom(path: Path) -> bool:
    return ending(path.name).lower() in DICOM and is_dicom(path)


def _split_series(folder: Path) -> None:
    """Give each series of images a folder of its own where several share one."""
    with suppress(DataError):  # what cannot be listed is told when it is checked
        files = [path for path in Tree.of(folder).readable if _is_dicom(path)]
        series, _ = indexed(files)
        for place, several in _shared(series):
            for number, one in enumerate(several, start=1):
                own = place / f"series-{number}"
                while own.exists():
                    own = own.with_name(own.name + "-")
                own.mkdir()
                for file in one.files:
                    if file.parent == place:
                        file.rename(own / file.name)


def _shared(series: list[Series]) -> Iterator[tuple[Path, list[Series]]]:
    images = [one for one in series if one.is_image and not one.is_segmentation]
    for place in sorted({folder for one in images for folder in one.folders}):
        if len(several := [one for one in images if place in one.folders]) > 1:
            yield place, several
