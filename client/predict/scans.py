"""Which scans the files and folders are that somebody names; a label beside a scan is not looked at."""

from collections.abc import Sequence
from pathlib import Path

from client.data import formats, layouts
from client.data.formats.dicom_seg import DicomSeg
from client.data.formats.dicom_series import DicomSeries
from client.data.layouts import dicom_series
from client.data.layouts.base import ONE_CHANNEL, Evidence, Listed, Skipped
from client.data.layouts.tree import Tree, ending, stem
from shared.errors import CaseError


def list_scans(paths: Sequence[Path], layout: str | None) -> tuple[list[Listed], list[Skipped]]:
    """Every scan at `paths`, in their order, and by name what is none.

    A path is a file, a folder that holds one DICOM series, a folder in any layout, or a folder that directly
    holds scans, one a file. A case that two paths name is read once, the first time.

    Raises
    ------
    DataError
        A folder with more than one layout, or not of the `layout` that was named.
    """
    listed: dict[str, Listed] = {}
    skipped: list[Skipped] = []
    for path in paths:
        found, refused = _at(path, layout)
        skipped += refused
        for item in found:
            if item.case in listed and item.images != listed[item.case].images:
                first = ", ".join(map(str, listed[item.case].images.values()))
                where = ", ".join(map(str, item.images.values()))
                text = f"{where} and {first} are both called {item.case}, expected one. Rename one of them."
                skipped.append(Skipped(item.case, "duplicate_case", text))
            listed.setdefault(item.case, item)
    return list(listed.values()), skipped


def _at(path: Path, layout: str | None) -> tuple[list[Listed], list[Skipped]]:
    if not path.is_dir():
        return _file(path)
    if layout is None:
        tree = Tree.of(path)
        loose = [scan for scan in tree.readable if scan.parent == path]
        if loose and all(one.evidence(tree) == Evidence.NONE for one in layouts.LAYOUTS):
            return _loose(tree, loose)
    return layouts.find(path, layout).list_cases(path, require_label=False)


def _loose(tree: Tree, loose: Sequence[Path]) -> tuple[list[Listed], list[Skipped]]:
    """Each file of a folder without a layout is a scan; what lies deeper is of no known layout."""
    listed, skipped = [], []
    for scan in tree.scans:
        if scan in loose:
            found, refused = _file(scan)
            listed += found
            skipped += refused
        else:
            text = f"{scan} is not read: {tree.folder} has no known layout. Name the file itself."
            skipped.append(Skipped(tree.relative(scan), "not_in_layout", text))
    return listed, skipped


def _file(path: Path) -> tuple[list[Listed], list[Skipped]]:
    """One scan of one file; a DICOM file is called as its series is, never by its own name."""
    try:
        found = formats.find(path)
        if not path.is_file():
            raise CaseError("unreadable", f"{path} is no file. Give a scan, or a folder of scans.")  # noqa: TRY301
    except CaseError as error:
        return [], [Skipped(path.name, error.reason, str(error))]
    if found.name == DicomSeg.name:
        text = f"{path} is a segmentation, expected a scan. Give the series that it was drawn on."
        return [], [Skipped(path.name, "not_an_image", text)]
    if found.name == DicomSeries.name:
        by_series = dicom_series.DicomSeries().sort(Tree(path.parent, (path,), ()))
        parts = [part for part in by_series.parts if part.kind == "image"]
        return [Listed(p.case, {ONE_CHANNEL: p.path}, None, patient=p.patient) for p in parts], list(
            by_series.skipped
        )
    name = stem(path.name) if ending(path.name) else path.name
    return [Listed(name, {ONE_CHANNEL: path}, None)], []
