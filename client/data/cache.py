"""A site's data as a study sees it: every usable case with its patient, split, history and outcome.

The scans themselves are content-addressed (store.py). Patients, splits, histories and outcomes are no part
of an entry: they stand in the index, which every `prepare` writes anew.
"""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from client.data import layouts
from client.data.formats import DEFAULT, Limits
from client.data.history import asked, history_of, lacking
from client.data.layouts.base import Listed, Skipped
from client.data.patients import Patients, PatientTable
from client.data.preparing.restore import restore
from client.data.split import Split, split_of
from client.data.store import FORMAT, entry_of, grid_digest, mapped_image, mapped_label, write_json
from shared.errors import DataError
from shared.files import write_atomically
from shared.study import Study, Urgent

LARGE_BYTES = 2**20


@dataclass(frozen=True)
class CachedCase:
    """One usable case. `shape` is (X, Y, Z); see `preprocess.Prepared` for the other figures.

    `outcome` is 1 urgent, 0 not, None unknown. `affine` is four rows of four numbers. `source_shape` and
    `source_affine` are those of the files, to which a mask on this grid goes back.
    """

    case: str
    patient: str
    split: Split
    key: str
    channels: int
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    reference_voxels: tuple[int, ...]
    affine: tuple[tuple[float, ...], ...]
    source_shape: tuple[int, int, int]
    source_affine: tuple[tuple[float, ...], ...]
    history: dict[str, float]
    outcome: int | None

    def image(self, folder: Path) -> np.memmap[Any, np.dtype[np.float32]]:
        """Network input (C, X, Y, Z) float32, read from disk as it is touched."""
        return mapped_image(folder, self.key, self.shape, self.channels)

    def label(self, folder: Path) -> np.memmap[Any, np.dtype[np.uint8]]:
        """Class indices (X, Y, Z) uint8, read from disk as they are touched."""
        return mapped_label(folder, self.key, self.shape)

    def restored(self, mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return a mask (X, Y, Z) of this grid on the grid of the case's files; see `restore.restore`."""
        return restore(mask, np.array(self.affine), self.source_shape, np.array(self.source_affine))


@dataclass(frozen=True)
class SiteData:
    """Everything that a site can train and be judged on, and what it could not use.

    `without_row` counts the cases whose patient an existing patients table does not name, nor the data set.
    `history_lacking` names the columns that the study's priority asks for and the table cannot give, with the
    reason.
    """

    folder: Path
    cases: tuple[CachedCase, ...]
    skipped: tuple[Skipped, ...]
    has_subject_map: bool
    without_row: int = 0
    history_lacking: Mapping[str, str] = field(default_factory=dict)

    def split(self, name: Split) -> list[CachedCase]:
        """Cases of one split, sorted by name."""
        return [case for case in self.cases if case.split == name]

    def patients(self, name: Split) -> int:
        """Different patients of one split."""
        return len({case.patient for case in self.split(name)})


def prepare(
    data_folder: Path,
    *,
    layout: str | None,
    patients_csv: Path | None,
    study: Study,
    cache_folder: Path,
    limits: Limits = DEFAULT,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> SiteData:
    """Read, check and preprocess every case into `cache_folder`; re-use what is there already.

    A case that cannot be used is skipped by name and reason (`SiteData.skipped`, `skipped.csv`) and never
    ends the run. Up to `workers` cases are in memory at a time. `progress` is called with (cases done, cases
    in all).

    Raises
    ------
    DataError
        No known layout, not one case in the folder, or a faulty patients table.
    """
    found = layouts.find(data_folder, layout)
    listed, skipped = found.list_cases(data_folder, require_label=study.task.truth != "region")
    if not listed and not skipped:
        raise DataError(f"{data_folder} holds no scan. Give the folder that holds the scans.")
    patients = Patients(PatientTable.load(patients_csv), listed)
    cache_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    cases = []
    with ThreadPoolExecutor(workers if _large(listed) else 1) as pool:
        entries = pool.map(partial(_entry, study=study, folder=cache_folder, limits=limits), listed)
        for done, (item, entry) in enumerate(zip(listed, entries, strict=True), start=1):
            if isinstance(entry, Skipped):
                skipped.append(entry)
            else:
                cases.append(_with_patient(item.case, entry, patients, study))
            if progress is not None:
                progress(done, len(listed))
    skipped.sort(key=lambda skip: skip.case)
    data = SiteData(
        folder=cache_folder,
        cases=tuple(cases),
        skipped=tuple(skipped),
        has_subject_map=patients.mapped(case.case for case in cases),
        without_row=patients.without_row(case.case for case in cases),
        history_lacking=lacking(patients.table, study),
    )
    _write_index(data, study)
    return data


def _large(listed: list[Listed]) -> bool:
    """Whether the first scan's arithmetic outweighs Python's own work on it, which threads only hold up."""
    files = [path for item in listed[:1] for path in item.images.values()]
    return any(path.is_dir() or (path.is_file() and path.stat().st_size > LARGE_BYTES) for path in files)


def _entry(item: Listed, *, study: Study, folder: Path, limits: Limits) -> dict[str, Any] | Skipped:
    """Prepare one case; whatever is wrong with it must not end the run."""
    try:
        return entry_of(item, study, folder, limits)
    except Exception as error:
        return Skipped.after(error, item.case, f"{', '.join(map(str, item.images.values()))}: ")


def load(cache_folder: Path, study: Study) -> SiteData:
    """Read back what the last `prepare` for this study found.

    Raises
    ------
    DataError
        There is no readable index for this study.
    """
    path = cache_folder / _index_name(study)
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        return SiteData(
            folder=cache_folder,
            cases=tuple(_case(values) for values in index["cases"]),
            skipped=tuple(Skipped(**values) for values in index["skipped"]),
            has_subject_map=index["has_subject_map"],
            without_row=index["without_row"],
            history_lacking=index["history_lacking"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is missing or damaged. Prepare this site's data for this study first."
        ) from error


def _index_name(study: Study) -> str:
    evaluation = study.evaluation
    urgent = study.priority.urgent.digest() if study.priority else None
    parts: list[object] = [
        grid_digest(study),
        evaluation.split_salt,
        evaluation.test_fraction,
        evaluation.validation_fraction,
        urgent,
        [(term.feature, term.level) for term in asked(study)],
    ]
    return f"dataset-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}.json"


def _with_patient(case: str, entry: dict[str, Any], patients: Patients, study: Study) -> CachedCase:
    patient, table = patients.patient_of(case), patients.table
    urgent = study.priority.urgent if study.priority else None
    column = urgent.outcome.lower() if urgent and urgent.outcome else None
    if column is not None:
        outcome = table.outcome(case, column)
    else:
        outcome = _volume_outcome(entry, urgent, study) if urgent else None
    return _case(
        {
            **{name: value for name, value in entry.items() if name != "steps"},
            "case": case,
            "channels": len(study.task.channels),
            "patient": patient,
            "split": split_of(patient, study.evaluation),
            "history": history_of(case, table, study),
            "outcome": outcome,
        }
    )


def _volume_outcome(entry: dict[str, Any], urgent: Urgent, study: Study) -> int | None:
    bound = urgent.volume
    if bound is None:
        return None
    classes = bound.classes or study.task.classes
    if unknown := set(classes) - set(study.task.classes):
        raise DataError(
            f"priority.urgent.volume names the classes {sorted(unknown)}, which task.classes lacks."
        )
    voxels = sum(entry["reference_voxels"][study.task.classes.index(name)] for name in classes)
    volume_ml = voxels * float(np.prod(entry["spacing_mm"])) / 1000
    if bound.above_ml is not None:
        return int(volume_ml > bound.above_ml)
    return int(volume_ml < (bound.below_ml or 0.0))


def _case(values: dict[str, Any]) -> CachedCase:
    rows = ("shape", "spacing_mm", "reference_voxels", "source_shape")
    tables = ("affine", "source_affine")
    return CachedCase(
        **{
            **values,
            **{name: tuple(values[name]) for name in rows},
            **{name: tuple(tuple(row) for row in values[name]) for name in tables},
        }
    )


def _write_index(data: SiteData, study: Study) -> None:
    index = {
        "format": FORMAT,
        "has_subject_map": data.has_subject_map,
        "without_row": data.without_row,
        "history_lacking": dict(data.history_lacking),
        "cases": [asdict(case) for case in data.cases],
        "skipped": [asdict(skip) for skip in data.skipped],
    }
    write_json(data.folder / _index_name(study), index)
    table = io.StringIO()
    rows = [(skip.case, skip.reason, skip.detail) for skip in data.skipped]
    csv.writer(table, lineterminator="\n").writerows([("case", "reason", "detail"), *rows])
    with write_atomically(data.folder / "skipped.csv", private=True, durable=False) as path:
        path.write_text(table.getvalue(), encoding="utf-8", newline="")
