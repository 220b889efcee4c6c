"""Content-addressed entries of the cache: two arrays and their figures, written whole or not at all.

An entry is `<key>.image.npy`, `<key>.label.npy` and `<key>.json`. The key is the SHA-256 of the bytes of all
files that the study uses of a case, of what each is for, and of everything in the study that decides what
they become, so a changed file, label or study makes a new entry and an equal one is found again.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from client.data import formats
from client.data.formats import DEFAULT, Limits
from client.data.layouts.base import Listed
from client.data.preparing.channels import chosen_files
from client.data.preparing.preprocess import Prepared, preprocess
from client.data.preparing.reading import Scan, read_case, truth_of
from shared.errors import DataError
from shared.files import write_atomically
from shared.npy import map_file
from shared.study import Study

ONE_FILE = (".nii", ".nii.gz", ".mha", ".tif", ".tiff", ".csv")
FORMAT = "wardround.cache/4"


def entry_of(item: Listed, study: Study, folder: Path, limits: Limits = DEFAULT) -> dict[str, Any]:
    """Figures of one case as JSON values.

    `key`; `shape`, `spacing_mm`, `reference_voxels`, `affine` and `steps` of `Prepared`; `source_shape` and
    `source_affine` of `Scan`. The files are read and preprocessed only if their key is new to `folder`.

    Raises
    ------
    CaseError
        See `prepared_case`.
    """
    key = _key(item, study, limits)
    if (known := _known(folder, key, len(study.task.channels))) is not None:
        return known
    scan, prepared = prepared_case(item, study, limits)
    for kind, array in (("image", prepared.image), ("label", prepared.label)):
        array_file = folder / f"{key}.{kind}.npy"
        with write_atomically(array_file, private=True, durable=False) as path, path.open("wb") as stream:
            np.save(stream, array, allow_pickle=False)  # type: ignore[arg-type]  # there is a label
    entry = {
        "key": key,
        "shape": list(prepared.image.shape[1:]),
        "spacing_mm": prepared.spacing_mm.tolist(),
        "reference_voxels": prepared.reference_voxels.tolist(),
        "affine": prepared.affine.tolist(),
        "source_shape": list(scan.source_shape),
        "source_affine": scan.source_affine.tolist(),
        "steps": list(prepared.steps),
    }
    write_json(folder / f"{key}.json", entry)  # last: it says that the arrays are complete
    return entry


def prepared_case(item: Listed, study: Study, limits: Limits = DEFAULT) -> tuple[Scan, Prepared]:
    """Read, check and preprocess one case; nothing is written.

    Raises
    ------
    CaseError
        See `reading.read_case` and `preprocess.preprocess`.
    """
    scan = read_case(item, study.task, limits)
    return scan, preprocess(scan, study.preprocessing, study.task, study.model)


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


def mapped_image(folder: Path, key: str, shape: tuple[int, ...], channels: int) -> np.memmap[Any, Any]:
    """Map the network input of an entry, (C, X, Y, Z) float32; DataError if it is not there or not whole."""
    return _mapped(folder / f"{key}.image.npy", "float32", (channels, *shape))


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


def _known(folder: Path, key: str, channels: int) -> dict[str, Any] | None:
    """Read the stored figures, if the arrays that they describe are there as well."""
    try:
        entry: dict[str, Any] = json.loads((folder / f"{key}.json").read_text(encoding="utf-8"))
        shape = tuple(entry["shape"])
        mapped_image(folder, key, shape, channels)
        mapped_label(folder, key, shape)
    except (OSError, ValueError, KeyError, TypeError, DataError):
        return None
    return entry


def _key(item: Listed, study: Study, limits: Limits) -> str:
    truth = truth_of(item, study.task)
    files = chosen_files(item, study.task)
    uses = [[*files], item.components, study.task.truth, item.label_kind]
    total = hashlib.sha256(f"{grid_digest(study)}{json.dumps(uses)}".encode())
    digests = {
        path: files_digest(path, limits) for path in {*files.values(), truth}
    }  # one file may hold all channels
    for path in (*files.values(), truth):
        total.update(digests[path])
    return total.hexdigest()


def files_digest(path: Path, limits: Limits = DEFAULT) -> bytes:
    """SHA-256 over the files of a scan: voxels may lie beside their header, and slices in a folder."""
    if path.is_dir():
        files = tuple(sorted(file for file in path.iterdir() if file.is_file() and file.name[0] != "."))
    elif path.is_file() and path.name.lower().endswith(ONE_FILE):
        files = (path,)
    else:
        files = formats.header(path, limits).files
    total = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.digest()
