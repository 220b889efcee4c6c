"""One real data set dealt out to several sites, with a shift between them that real hospitals show."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from client.data import formats, layouts
from client.data.layouts.base import Listed, Skipped
from client.data.layouts.tree import ending
from client.data.patients import PatientTable
from shared.errors import CaseError, DataError
from shared.randomness import generator
from simulations.scenario import Folder

TABLE = "patients.csv"
SEVERAL_FILES = (".mhd", ".hdr", ".hdr.gz")


@dataclass(frozen=True)
class Dealt:
    """Folder of each site, and what belongs to no site: it has no image, or not one file an image."""

    folders: dict[str, Path]
    left: tuple[Skipped, ...]


def deal(source: Folder, data: Path, out: Path) -> Dealt:
    """Put every case of `data` into one site's folder under `out`.

    The files are hard links, and copies where `out` lies on another disk: a site follows no link out of its
    folder. Cases that a study cannot use yet, or whose image or label is more than one file, are left.

    Patients are ordered by their scans' own property `by`, the order is blurred by `mixing`, and consecutive
    parts go to the sites in the order of `shares`; all scans of one patient go to one site, with their rows
    of `patients.csv` where there is one. A site's folder is in the Decathlon layout. A case without a
    label or that cannot be read goes to a site as well, which then skips it by name.

    Raises
    ------
    DataError
        `data` holds fewer patients than sites, or a faulty patients table.
    """
    listed, left = layouts.find(data, None).list_cases(data, require_label=False)
    table = data / TABLE if (data / TABLE).exists() else None
    known = PatientTable.load(table)
    patients: dict[str, list[Listed]] = {}
    whole: list[Listed] = []
    for item in listed:
        try:
            _check_one_file(item)
        except CaseError as error:
            left.append(Skipped(item.case, error.reason, str(error)))
        else:
            whole.append(item)
    for item in whole:
        patients.setdefault(known.patient_of(item.case), []).append(item)
    if len(patients) < len(source.shares):
        raise DataError(f"{data} holds {len(patients)} patients, for {len(source.shares)} sites.")
    groups = list(patients.values())
    values = np.array([np.mean([_property(item, source.by) for item in group]) for group in groups])
    ranks = values.argsort(kind="stable").argsort(kind="stable") / len(groups)
    noise = generator(source.seed, "partition").normal(0, source.mixing, len(groups))
    order = np.argsort(ranks + noise, kind="stable")
    edges = np.rint(np.cumsum([0.0, *source.shares.values()]) * len(groups)).astype(int)
    for link in [*out.glob("*/*/*"), *out.glob(f"*/{TABLE}")]:
        link.unlink()  # of an earlier deal, perhaps from another folder
    folders = {}
    for site, begin, end in zip(source.shares, edges[:-1], edges[1:], strict=True):
        folders[site] = out / site
        cases = [item for index in order[begin:end] for item in groups[index]]
        for item in cases:
            _link(item, out / site)
        if table is not None:
            known.write(out / site / TABLE, [item.case for item in cases])
    return Dealt(folders, tuple(left))


def _property(item: Listed, by: str) -> float:
    path = item.only_image() if by == "intensity" else item.label
    if path is None:
        return 0.0  # dealt out all the same: the site skips it by name
    try:
        array = formats.read(path).array
    except CaseError:
        return 0.0
    return float(np.percentile(array, 99)) if by == "intensity" else float(np.count_nonzero(array))


def _check_one_file(item: Listed) -> None:
    for path in (item.only_image(), item.label):
        if path is not None and (path.is_dir() or ending(path.name).lower() in SEVERAL_FILES):
            raise CaseError(
                "unsupported_format",
                f"{path} is more than one file, expected one to deal out. Convert it to .nii.gz.",
            )


def _link(item: Listed, folder: Path) -> None:
    for name, path in (("imagesTr", item.only_image()), ("labelsTr", item.label)):
        if path is None:
            continue
        target = folder / name / (item.case + ending(path.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        source = path.resolve()
        try:
            os.link(source, target)
        except OSError:  # another disk, or another owner
            shutil.copyfile(source, target)
