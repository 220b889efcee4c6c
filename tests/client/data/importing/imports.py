"""What the tests of an import share."""

from pathlib import Path
from typing import Any

import numpy as np

from client.data import formats, layouts
from client.data.formats.dicom_seg import DicomSeg, read_on
from client.data.importing.run import Imported, Request, import_data
from client.data.layouts.base import Listed
from client.data.volumes import Volume, to_ras


def imported(source: Path, dest: Path, **options: Any) -> Imported:
    return import_data(Request(source, dest, **{"workers": 1, **options}))


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every byte of a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def listed_in(folder: Path) -> dict[str, Listed]:
    """The cases of an import; no file may be left over."""
    listed, skipped = layouts.find(folder, None).list_cases(folder)
    assert skipped == []
    return {item.case: item for item in listed}


def original_of(dest: Path) -> dict[str, str]:
    """Names by pseudonym, from the private table."""
    lines = dest.with_name(f"{dest.name}.names.csv").read_text(encoding="utf-8").splitlines()
    return {pseudonym: name for pseudonym, name, *_ in (line.split(",") for line in lines[1:])}


def label_of(item: Listed) -> Volume:
    """A label of voxels as the study would read it."""
    assert item.label
    if formats.find(item.label).name == DicomSeg.name:
        image = next(iter(item.images.values()))
        return read_on(item.label, formats.DEFAULT, grid=formats.header(image))
    return formats.read(item.label)


def assert_same(found: Volume, source: Volume) -> None:
    """Equal to the voxel once the source is turned to RAS, and in the affine as far as a header says it."""
    expected = to_ras(source)
    np.testing.assert_array_equal(found.array, expected.array)
    np.testing.assert_allclose(found.affine, expected.affine, rtol=1e-6, atol=1e-5)
