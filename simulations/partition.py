"""One real data set of any layout dealt out to several sites, with a shift that real hospitals show."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from client.data import formats, layouts
from client.data.layouts.base import Listed, Skipped
from client.data.layouts.manifest import write_manifest
from client.data.layouts.pairing import opaque
from client.data.patients import Patients, PatientTable
from shared.errors import CaseError, DataError
from shared.randomness import generator
from shared.study import Task
from simulations.scenario import Folder

TABLE = "patients.csv"
PLAIN = re.compile(r"[A-Za-z0-9][\w. -]{0,99}", re.ASCII)


@dataclass(frozen=True)
class Dealt:
    """Folder of each site, and what belongs to no site because it is no whole case.

    `has_patients` says that a table or the layout names the patient of some case: then it is not stated for
    the sites that every case is another person.
    """

    folders: dict[str, Path]
    left: tuple[Skipped, ...]
    has_patients: bool


def deal(source: Folder, data: Path, out: Path, task: Task) -> Dealt:
    """Put every case of `data` into one site's folder under `out`.

    A site's folder is in the manifest layout, with a folder for each file of a case, so that files that
    belong together keep their names. They are hard links, and copies where `out` lies on another disk: a
    site follows no link out of its folder.

    Patients are ordered by their scans' own property `by`, the order is blurred by `mixing`, and consecutive
    parts go to the sites in the order of `shares`, at least one patient to each; all scans of one patient go
    to one site, with their rows of `patients.csv` where there is one. Patients without the truth that `task`
    learns from, and cases that cannot be read, are dealt out as well, apart from the others so that each site
    has its share of those it can use; a site then skips them by name.

    Raises
    ------
    DataError
        No layout, fewer patients with a truth than sites, or a faulty patients table.
    """
    listed, left = layouts.find(data, source.layout).list_cases(data, require_label=False)
    table = data / TABLE if (data / TABLE).exists() else None
    known = Patients(PatientTable.load(table), listed)
    patients: dict[str, list[Listed]] = {}
    for item in listed:
        if unfit := _unfit_name(item):
            detail = f"{item.case}: no table can hold the name {unfit!r}. Rename it."
            left.append(Skipped(item.case, "not_in_layout", detail))
        else:
            patients.setdefault(known.patient_of(item.case), []).append(item)
    taught = [group for group in patients.values() if any(_has_truth(item, task) for item in group)]
    if len(taught) < len(source.shares):
        reasons = ", ".join(sorted({skip.reason for skip in left})) or "none"
        raise DataError(
            f"{data} holds {len(taught)} patients with a {task.truth}, for {len(source.shares)} sites. Give "
            f"fewer `sites.shares`. Cases that are left: {len(left)} ({reasons})."
        )
    others = [group for group in patients.values() if not any(_has_truth(item, task) for item in group)]
    parts = zip(
        _parts(taught, source, at_least=1),
        _parts(others, source.model_copy(update={"by": "name"}), at_least=0),  # not worth decoding
        strict=True,
    )
    folders = {}
    for site, (usable, unusable) in zip(source.shares, parts, strict=True):
        folders[site] = out / site
        shutil.rmtree(out / site, ignore_errors=True)  # of an earlier deal, perhaps from another folder
        cases = sorted([*usable, *unusable], key=lambda item: item.case)
        write_manifest(out / site, [_put(item, out / site) for item in cases])
        if table is not None:
            known.table.write(out / site / TABLE, [item.case for item in cases])
    has_patients = table is not None or any(item.patient is not None for item in listed)
    return Dealt(folders, tuple(left), has_patients)


def _unfit_name(item: Listed) -> str | None:
    """Return a name that would not be read back from a manifest: one odd case must not end the run."""
    paths = [*item.images.values(), *filter(None, (item.label, item.region))]
    names = [item.case, *item.images, item.patient or "", *(path.name for path in paths)]
    return next((name for name in names if not name.isprintable() or name != name.strip()), None)


def _has_truth(item: Listed, task: Task) -> bool:
    return (item.region if task.truth == "region" else item.label) is not None


def _parts(groups: Sequence[list[Listed]], source: Folder, *, at_least: int) -> Iterator[list[Listed]]:
    """Cases of each site, in the order of `shares`, from groups of one patient's cases."""
    values = np.array([_property(group, source.by, index) for index, group in enumerate(groups)])
    ranks = values.argsort(kind="stable").argsort(kind="stable") / max(len(groups), 1)
    noise = generator(source.seed, "partition").normal(0, source.mixing, len(groups))
    order = np.argsort(ranks + noise, kind="stable")
    edges = _edges(list(source.shares.values()), len(groups), at_least)
    for begin, end in pairwise(edges):
        yield [item for index in order[begin:end] for item in groups[index]]


def _edges(shares: Sequence[float], count: int, at_least: int) -> npt.NDArray[np.int64]:
    """Where the parts begin and end, (shares + 1,): rounded, and none smaller than `at_least`."""
    edges = np.rint(np.cumsum([0.0, *shares]) * count).astype(np.int64)
    steps = at_least * np.arange(len(edges))
    pushed = np.maximum.accumulate(edges - steps) + steps
    bounded: npt.NDArray[np.int64] = np.minimum(pushed, count - steps[::-1])
    return bounded


def _property(group: Sequence[Listed], by: str, place: int) -> float:
    if by == "name":
        return float(place)
    return float(np.mean([_intensity(item) if by == "intensity" else _labelled(item) for item in group]))


def _intensity(item: Listed) -> float:
    """99th percentile of the first channel; 0 where it cannot be read, which the site finds out by itself."""
    try:
        array = formats.read(next(iter(item.images.values()))).array
    except CaseError:
        return 0.0
    return float(np.percentile(array[0] if array.ndim == 4 else array, 99))


def _labelled(item: Listed) -> float:
    """Voxels that the label marks, or rows of its table of points; 0 where it cannot be read."""
    if item.label is None:
        return 0.0
    try:
        if item.label_kind == "points":
            return float(item.label.read_bytes().count(b"\n"))
        return float(np.count_nonzero(formats.read(item.label).array))
    except (CaseError, OSError):
        return 0.0


def _put(item: Listed, site: Path) -> Listed:
    """Link all files of a case into a folder of its own; returns where they are now."""
    folder = site / _plain("case", item.case)
    images = {
        channel: _linked(path, folder / "images" / _plain("channel", channel))
        for channel, path in item.images.items()
    }
    label = None if item.label is None else _linked(item.label, folder / "label")
    region = None if item.region is None else _linked(item.region, folder / "region")
    return replace(item, images=images, label=label, region=region)


def _linked(path: Path, folder: Path) -> Path:
    """Link a scan's files into `folder`, under their own names; returns the scan's path there.

    `path` is a file, which may need others beside it, or a folder of slices, which becomes `folder`.
    """
    folder.mkdir(parents=True)
    for file in _files(path):
        source, target = file.resolve(), folder / file.name
        try:
            os.link(source, target)
        except OSError:  # another disk, or another owner
            shutil.copyfile(source, target)
    return folder if path.is_dir() else folder / path.name


def _files(path: Path) -> tuple[Path, ...]:
    """All files of a scan; of one that cannot be read, those that are certain."""
    try:
        return formats.header(path).files
    except CaseError:
        return tuple(file for file in path.iterdir() if file.is_file()) if path.is_dir() else (path,)


def _plain(kind: str, name: str) -> str:
    """Return `name` where it can be the name of a folder, or else a digest of it."""
    return name if PLAIN.fullmatch(name) else opaque(kind, name)
