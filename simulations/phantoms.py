"""Hospitals full of phantom patients, written as a hospital would: NIfTI scans and a patients table.

    FOLDER/imagesTr/<case>.nii.gz   int16, compressed, with an affine
    FOLDER/labelsTr/<case>.nii.gz   uint8, 1 is tumour
    FOLDER/dataset.json             Medical Segmentation Decathlon layout
    FOLDER/patients.csv             history and outcome, what a site may read
    FOLDER/truth.csv                true probability and burden, which only simulations read

Every case is drawn from (seed, site, case) alone: adding patients never changes the ones that exist.
"""

import csv
import gzip
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from pydantic import Field

from shared.config import Config
from shared.errors import ConfigError
from shared.study import Size
from simulations.anatomy import SHIFTS, SiteShift, draw_scan
from simulations.outcomes import (
    HISTORY_COLUMNS,
    draw_history,
    draw_urgent,
    measure_burden,
    recorded,
    true_features,
    true_probability,
)
from simulations.random_volumes import draw_random_site
from simulations.shapes import Shape

PATIENT_COLUMNS = ("patient", "case", *HISTORY_COLUMNS, "urgent")
TRUTH_COLUMNS = ("case", "true_probability", "tumour_ml", "tumour_count")
Rows = tuple[Mapping[str, str], Mapping[str, str]]


class PhantomSite(Config):
    """One hospital to write: how many patients, seen by which scanner, on how many voxels."""

    patients: int = Field(ge=1)
    shift: SiteShift = SiteShift()
    shape: Size = Field(default=(32, 32, 24), description="voxels in RAS order, before the field of view")


@dataclass(frozen=True)
class PhantomCase:
    """One patient's scan in the file's own axes, with its rows of `patients.csv` and `truth.csv`.

    `image` int16 and `label` uint8, both (I, J, K); `affine` (4, 4) maps voxel indices to RAS millimetres.
    """

    image: npt.NDArray[np.int16]
    label: npt.NDArray[np.uint8]
    affine: npt.NDArray[np.float64]
    patient: Mapping[str, str]
    truth: Mapping[str, str]


def draw_case(site: PhantomSite, *, seed: int, site_index: int, case_index: int) -> PhantomCase:
    """Draw one case from (seed, site_index, case_index) alone."""
    entropy = np.random.SeedSequence((seed, site_index, case_index))
    scan_rng, history_rng = (np.random.default_rng(child) for child in entropy.spawn(2))
    scan = draw_scan(scan_rng, site.shift, site.shape)
    stored = np.clip(np.rint(scan.image), -32768, 32767).astype(np.int16)
    affine = np.diag([*site.shift.spacing_mm, 1.0])
    affine[:3, 3] = np.round(scan_rng.uniform(-120, 120, 3), 2)
    image = _oriented(stored, affine, site.shift.orientation)
    label = _oriented(scan.label, affine, site.shift.orientation)

    burden = measure_burden(scan.label, site.shift.spacing_mm)
    history = draw_history(history_rng)
    probability = true_probability(true_features(history, burden))
    case = f"phantom_{site_index}_{case_index:05d}"
    return PhantomCase(
        image=np.asarray(image.dataobj),
        label=np.asarray(label.dataobj),
        affine=np.asarray(image.affine),
        patient={
            "patient": f"patient_{site_index}_{case_index:05d}",
            "case": case,
            "urgent": str(draw_urgent(history_rng, probability)),
            **recorded(history_rng, history),
        },
        truth={
            "case": case,
            "true_probability": f"{probability:.6f}",
            "tumour_ml": f"{burden.tumour_ml:.6f}",
            "tumour_count": str(burden.tumour_count),
        },
    )


def write_site(
    folder: Path,
    site: PhantomSite,
    *,
    seed: int,
    site_index: int,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write a whole hospital into `folder`, which appears complete or not at all.

    `workers` processes draw cases; the result does not depend on their number. `progress` is called with the
    number of cases written so far. Raises ConfigError when `folder` already holds something.
    """
    with _appearing(folder) as draft:
        for name in ("imagesTr", "labelsTr"):
            (draft / name).mkdir(parents=True)
        write = partial(_write_case, draft, site, seed, site_index)
        patients: list[Mapping[str, str]] = []
        truths: list[Mapping[str, str]] = []
        for patient, truth in _each(write, site.patients, workers=workers):
            patients.append(patient)
            truths.append(truth)
            if progress is not None:
                progress(len(patients))
        _write_table(draft / "patients.csv", PATIENT_COLUMNS, patients)
        _write_table(draft / "truth.csv", TRUTH_COLUMNS, truths)
        listing = _decathlon_listing(site.shift.name, [row["case"] for row in patients])
        (draft / "dataset.json").write_text(json.dumps(listing, indent=2) + "\n", encoding="utf-8")


def write_dataset(
    folder: Path,
    *,
    sites: int,
    patients_per_site: int,
    shape: Shape = (32, 32, 24),
    seed: int = 0,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> tuple[Path, ...]:
    """Write `sites` hospitals below `folder` (hospital-a, hospital-b, ...) and return their folders.

    The first four are `SHIFTS`, later ones are drawn at random. `progress` is called with the number of cases
    written so far over all sites. Raises ConfigError when a hospital's folder already holds something.
    """
    written = []
    for index in range(sites):
        shift = site_shift(index, seed=seed)
        done = index * patients_per_site
        write_site(
            folder / shift.name,
            PhantomSite(patients=patients_per_site, shift=shift, shape=shape),
            seed=seed,
            site_index=index,
            workers=workers,
            progress=None if progress is None else partial(_add, progress, done),
        )
        written.append(folder / shift.name)
    return tuple(written)


def site_shift(index: int, *, seed: int) -> SiteShift:
    """Return hospital `index`: one of `SHIFTS`, or a random one named after the index from the fifth on."""
    if index < len(SHIFTS):
        return SHIFTS[index]
    suffix = chr(ord("a") + index) if index < 26 else str(index + 1)
    drawn = draw_random_site(np.random.default_rng((seed, index)))
    return drawn.model_copy(update={"name": f"hospital-{suffix}"})


def _oriented(array: npt.NDArray[np.generic], affine: npt.NDArray[np.float64], codes: str) -> nib.Nifti1Image:
    target = nib.orientations.axcodes2ornt(codes)
    straight = nib.orientations.axcodes2ornt("RAS")
    transform = nib.orientations.ornt_transform(straight, target)
    image = nib.Nifti1Image(array, affine).as_reoriented(transform)
    image.header.set_xyzt_units("mm")
    return image


def _write_case(draft: Path, site: PhantomSite, seed: int, site_index: int, case_index: int) -> Rows:
    case = draw_case(site, seed=seed, site_index=site_index, case_index=case_index)
    for name, array in (("imagesTr", case.image), ("labelsTr", case.label)):
        image = nib.Nifti1Image(array, case.affine)
        image.header.set_xyzt_units("mm")
        # No time stamp: the same seed gives the same file, byte for byte.
        packed = gzip.compress(image.to_bytes(), compresslevel=1, mtime=0)
        (draft / name / f"{case.patient['case']}.nii.gz").write_bytes(packed)
    return case.patient, case.truth


def _each(make: Callable[[int], Rows], count: int, *, workers: int) -> Iterator[Rows]:
    if workers == 1:
        yield from map(make, range(count))
        return
    # Spawned, because a fork of a process that holds PyTorch's threads may deadlock.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(make, range(count), chunksize=16)


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """Give a draft folder beside `folder`, renamed to it at the end, so that no half-written site is read."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not empty. Give a new folder, or remove this one first.")
    draft = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _decathlon_listing(name: str, cases: Sequence[str]) -> dict[str, object]:
    return {
        "name": name,
        "description": "Synthetic phantoms: no person was scanned",
        "tensorImageSize": "3D",
        "modality": {"0": "phantom"},
        "labels": {"0": "background", "1": "tumour"},
        "numTraining": len(cases),
        "numTest": 0,
        "training": [
            {"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in cases
        ],
        "test": [],
    }


def _add(progress: Callable[[int], None], already: int, done: int) -> None:
    progress(already + done)
