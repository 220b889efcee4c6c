"""Content-addressed entries of the cache: two arrays and their figures, written whole or not at all.

An entry is `<key>.image.npy`, `<key>.label.npy` and `<key>.json`. The key is the SHA-256 of the image's
bytes, the label's bytes and everything in the study that decides what they become, so a changed file, label
or study makes a new entry and an equal one is found again.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from client.data import formats
from client.data.check import check_pair
from client.data.formats.dicom_seg import DicomSeg, read_on
from client.data.layouts.base import Listed
from client.data.preprocess import preprocess
from client.data.volumes import Volume
from shared.errors import CaseError, DataError
from shared.files import write_atomically
from shared.npy import map_file
from shared.study import Study

SEG = DicomSeg.name
ONE_FILE = (".nii", ".nii.gz", ".mha", ".tif", ".tiff")
FORMAT = "wardround.cache/1"


def entry_of(item: Listed, study: Study, folder: Path) -> dict[str, Any]:
    """`key`, `shape`, `spacing_mm`, `reference_voxels` and `affine` of one case, as JSON values.

    The scan is read and preprocessed only if its key is new to `folder`. Raises CaseError.
    """
    image_path = item.only_image()
    if item.label is None:
        raise CaseError("label_missing", f"no label for the image {image_path}")
    key = _key(image_path, item.label, study)
    if (known := _known(folder, key)) is not None:
        return known
    image, label = formats.read(image_path), _label(item.label, image_path)
    indices = check_pair(image, label, study.task, case=item.case)
    prepared = preprocess(image, indices, study.preprocessing, study.task, study.model)
    for kind, array in (("image", prepared.image), ("label", prepared.label)):
        array_file = folder / f"{key}.{kind}.npy"
        with write_atomically(array_file, private=True, durable=False) as path, path.open("wb") as stream:
            np.save(stream, array, allow_pickle=False)  # type: ignore[arg-type]  # there is a label
    entry = {
        "key": key,
        "shape": prepared.image.shape[1:],
        "spacing_mm": prepared.spacing_mm.tolist(),
        "reference_voxels": prepared.reference_voxels.tolist(),
        "affine": prepared.affine.tolist(),
    }
    write_json(folder / f"{key}.json", entry)  # last: it says that the arrays are complete
    return entry


def grid_digest(study: Study) -> str:
    """Digest of all that decides what a file becomes."""
    parts = [
        FORMAT,
        study.task.digest(),
        study.preprocessing.digest(),
        study.model.dimensions,
        study.model.stride,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def mapped_image(folder: Path, key: str, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """Map the network input of an entry, (1, X, Y, Z) float32; DataError if it is not there or not whole."""
    return _mapped(folder / f"{key}.image.npy", "float32", (1, *shape))


def mapped_label(folder: Path, key: str, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """Map the class indices of an entry, (X, Y, Z) uint8; DataError if they are not there or not whole."""
    return _mapped(folder / f"{key}.label.npy", "uint8", shape)


def _mapped(path: Path, dtype: str, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    try:
        return map_file(path, dtype=dtype, shape=shape)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is missing or damaged: {error}. Prepare this site's data again.") from error


def write_json(path: Path, values: Any) -> None:
    """Put JSON at `path` in one step."""
    with write_atomically(path, private=True, durable=False) as temporary:
        temporary.write_text(json.dumps(values, allow_nan=False), encoding="utf-8")


def _known(folder: Path, key: str) -> dict[str, Any] | None:
    """Read the stored figures, if the arrays that they describe are there as well."""
    try:
        entry: dict[str, Any] = json.loads((folder / f"{key}.json").read_text(encoding="utf-8"))
        shape = tuple(entry["shape"])
        mapped_image(folder, key, shape)
        mapped_label(folder, key, shape)
    except (OSError, ValueError, KeyError, TypeError, DataError):
        return None
    return entry


def _label(path: Path, image: Path) -> Volume:
    """Read a label; a DICOM SEG onto the grid of the image that it was drawn on."""
    if formats.find(path).name != SEG:
        return formats.read(path)
    return read_on(path, formats.DEFAULT, grid=formats.header(image))


def _files(path: Path) -> tuple[Path, ...]:
    """All files that a scan consists of: voxels may lie beside their header, and slices in a folder."""
    if path.is_file() and path.name.lower().endswith(ONE_FILE):
        return (path,)
    return formats.header(path).files


def _key(image: Path, label: Path, study: Study) -> str:
    total = hashlib.sha256(grid_digest(study).encode())
    for path in (image, label):
        for file in _files(path):
            with file.open("rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()
