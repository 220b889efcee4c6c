"""Small data sets in the true layouts and formats, made by code: nobody's. For all tests that need one.

`TREES` has one entry a layout and variant; `Made.cases` says what a reader must find. Each generator writes
`count` cases of a bright box in noise, whose label has the values 1 and 2 unless its text says otherwise.
"""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import tifffile

from tests.client.data.formats.samples import write_by_itk
from tests.client.data.layouts.dicom_trees import write_dicom_masks, write_dicom_seg
from tests.client.data.layouts.made import AFFINE, Made
from tests.client.data.scans import picture, write_scan

BRATS = ("t1", "t1ce", "t2", "flair")
SLIDES = ("ytma10", "ytma12", "ytma23", "ytma49", "ytma55")


def write_brats2015(folder: Path, count: int = 3) -> Made:
    """`.mha`; the first case of HGG and of LGG have the same name. The label has the values 1 to 4."""
    cases: dict[str, str | None] = {}
    names = {"t1": "MR_T1", "t1ce": "MR_T1c", "t2": "MR_T2", "flair": "MR_Flair"}
    for index in range(count):
        grade = ("HGG", "LGG")[index % 2]
        name = f"brats_2013_pat{index // 2 + 1:04}_1"
        image, label = picture(index)
        label[3, 4, 4:6] = 3, 4
        number = 54510 + 10 * index
        inner = {f"VSD.Brain.XX.O.{names[c]}.{number + i}": image + i for i, c in enumerate(BRATS)}
        inner[f"VSD.Brain_3more.XX.O.OT.{number + 9}"] = label
        for stem, array in inner.items():
            path = folder / grade / name / stem / f"{stem}.mha"
            path.parent.mkdir(parents=True)
            write_by_itk(path, array.astype(np.int16), AFFINE)
        cases[f"{grade}_{name}"] = f"{grade}_{name}".rpartition("_")[0]
    return Made(cases, BRATS)


def write_brats_nifti(folder: Path, count: int = 3) -> Made:
    """As of 2018; the label has the values 1, 2 and 4."""
    cases: dict[str, str | None] = {}
    for index in range(count):
        name = f"BraTS19_TCIA01_{201 + index}_1"
        image, label = picture(index)
        label[3, 4, 5] = 4
        for number, channel in enumerate(BRATS):
            write_scan(folder / "HGG" / name / f"{name}_{channel}.nii.gz", (image + number).astype(np.int16))
        write_scan(folder / "HGG" / name / f"{name}_seg.nii.gz", label)
        cases[name] = None
    return Made(cases, BRATS)


def write_brats_2023(folder: Path, count: int = 3) -> Made:
    """As of 2023: other names of the modalities, and time points of a patient."""
    cases: dict[str, str | None] = {}
    for index in range(count):
        patient = f"BraTS-GLI-{5 + index // 2:05}"
        name = f"{patient}-{index % 2:03}"
        image, label = picture(index)
        for number, channel in enumerate(("t1n", "t1c", "t2w", "t2f")):
            write_scan(folder / name / f"{name}-{channel}.nii.gz", (image + number).astype(np.int16))
        write_scan(folder / name / f"{name}-seg.nii.gz", label)
        cases[name] = patient
    return Made(cases, BRATS)


def write_ucsb(folder: Path, count: int = 3) -> Made:
    """RGB TIFF (80 x 96); the mask has 255 in cells of one window and is 0 all around."""
    cases: dict[str, str | None] = {}
    for index in range(count):
        slide = SLIDES[index % len(SLIDES)]
        name = f"{slide}_010704_{('benign', 'malignant')[index % 2]}{index + 1}"
        rng = np.random.default_rng(index)
        image = rng.integers(150, 255, (80, 96, 3)).astype(np.uint8)
        mask = np.zeros((80, 96), np.uint8)
        for _ in range(6):
            row, column = rng.integers(20, 50, 2)
            mask[row : row + 6, column : column + 6] = 255
        image[mask > 0] //= 2
        for path, array in (("Images", image), ("Masks", mask)):
            (folder / path).mkdir(parents=True, exist_ok=True)
            file = f"{name}_ccd.tif" if path == "Images" else f"{name}.TIF"
            tifffile.imwrite(folder / path / file, array)
        cases[name] = slide
    return Made(cases, label_kind="window")


def write_vessel12(folder: Path, count: int = 3) -> Made:
    """`.mhd` with `.raw`: scans, lung masks, and points (x, y, z, label) on vessels and off them."""
    cases: dict[str, str | None] = {}
    for index in range(count):
        name = f"VESSEL12_{21 + index}"
        image, label = picture(index)
        for path, array in (
            ("Scans", (image * 5 - 900).astype(np.int16)),
            ("Lungmasks", np.ones(image.shape, np.uint8)),
        ):
            (folder / path).mkdir(parents=True, exist_ok=True)
            write_by_itk(folder / path / f"{name}.mhd", array, AFFINE)
        points = np.argwhere(np.ones(label.shape, bool))[::50]
        (folder / "Annotations").mkdir(exist_ok=True)
        with (folder / "Annotations" / f"{name}_Annotations.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([*point, int(label[tuple(point)] > 0)] for point in points)
        cases[name] = None
    return Made(cases, label_kind="points", regions=True)


def write_lits(folder: Path, count: int = 3) -> Made:
    """Spread over folders as copies have it; the last case holds no tumour (2)."""
    cases: dict[str, str | None] = {}
    for index in range(count):
        image, label = picture(index)
        if index == count - 1:
            label[label == 2] = 1
        part = folder / f"volume_pt{index % 2 + 1}"
        write_scan(part / f"volume-{index}.nii", (image - 60).astype(np.int16))
        write_scan(folder / "segmentations" / f"segmentation-{index}.nii", label)
        cases[f"volume-{index}"] = None
    return Made(cases)


def write_decathlon(folder: Path, count: int = 3) -> Made:
    """With a `dataset.json`."""
    names = [f"hippocampus_{index + 1:03}" for index in range(count)]
    for index, name in enumerate(names):
        _pair(folder, "imagesTr", "labelsTr", name, index)
    training = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in names]
    _json(folder / "dataset.json", {"name": "test", "modality": {"0": "MRI"}, "training": training})
    return Made(dict.fromkeys(names))


def write_nnunet_raw(folder: Path, count: int = 3) -> Made:
    """Two channels."""
    names = [f"case_{index:03}" for index in range(count)]
    for index, name in enumerate(names):
        image, label = picture(index)
        write_scan(folder / "imagesTr" / f"{name}_0000.nii.gz", image)
        write_scan(folder / "imagesTr" / f"{name}_0001.nii.gz", image + 1)
        write_scan(folder / "labelsTr" / f"{name}.nii.gz", label)
    channels = {"channel_names": {"0": "CT", "1": "PET"}, "labels": {"background": 0, "head": 1}}
    _json(folder / "dataset.json", {**channels, "numTraining": count, "file_ending": ".nii.gz"})
    return Made(dict.fromkeys(names), ("CT", "PET"))


def write_bids(folder: Path, count: int = 3) -> Made:
    """Two sessions a subject, masks in derivatives."""
    cases: dict[str, str | None] = {}
    for index in range(count):
        subject, session = f"sub-{index // 2 + 1:02}", f"ses-{index % 2 + 1}"
        case = f"{subject}_{session}"
        image, label = picture(index)
        inner = Path(subject) / session / "anat"
        write_scan(folder / inner / f"{case}_T1w.nii.gz", image)
        _json(folder / inner / f"{case}_T1w.json", {"EchoTime": 0.003})
        write_scan(folder / "derivatives" / "manual" / inner / f"{case}_T1w_dseg.nii.gz", label)
        cases[case] = subject
    _json(folder / "dataset_description.json", {"Name": "test", "BIDSVersion": "1.8.0"})
    return Made(cases, ("T1w",))


def write_folders(folder: Path, count: int = 3) -> Made:
    """NIfTI in `images/` and `labels/`."""
    names = [f"case-{index}" for index in range(count)]
    for index, name in enumerate(names):
        _pair(folder, "images", "labels", name, index)
    return Made(dict.fromkeys(names))


def write_analyze_folders(folder: Path, count: int = 3) -> Made:
    """Analyze in `Originals/`, labels in `Labels/` whose names end in a word of their own."""
    names = [f"HFH_{index + 1:03}" for index in range(count)]
    for index, name in enumerate(names):
        image, label = picture(index)
        for inner, stem, array in (("Originals", name, image), ("Labels", f"{name}_Hipp_Labels", label)):
            (folder / inner).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Spm99AnalyzeImage(array.astype(np.int16), AFFINE), folder / inner / f"{stem}.img")
            (folder / inner / f"{stem}.mat").unlink(missing_ok=True)
    return Made(dict.fromkeys(names))


def write_manifest(folder: Path, count: int = 3) -> Made:
    """An arrangement of its own, with two channels and two scans a patient."""
    rows: list[tuple[str, ...]] = [("case", "image", "late", "label", "patient")]
    cases: dict[str, str | None] = {}
    for index in range(count):
        image, label = picture(index)
        name, patient = f"scan {index}", f"p{index // 2}"
        paths = [f"a/{index}/{kind}.nii.gz" for kind in ("early", "late", "truth")]
        for path, array in zip(paths, (image, image + 1, label), strict=True):
            write_scan(folder / path, array)
        rows.append((name, *paths, patient))
        cases[name] = patient
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return Made(cases, ("image", "late"))


def _pair(folder: Path, images: str, labels: str, name: str, seed: int) -> None:
    for inner, array in zip((images, labels), picture(seed), strict=True):
        write_scan(folder / inner / f"{name}.nii.gz", array)


def _json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


TREES: dict[str, tuple[str, Callable[..., Made]]] = {
    "bids": ("bids", write_bids),
    "brats2015": ("brats2015", write_brats2015),
    "brats_nifti": ("brats_nifti", write_brats_nifti),
    "brats_nifti of 2023": ("brats_nifti", write_brats_2023),
    "decathlon": ("decathlon", write_decathlon),
    "dicom_series with SEG": ("dicom_series", write_dicom_seg),
    "dicom_series with masks": ("dicom_series", write_dicom_masks),
    "folders": ("folders", write_folders),
    "folders of Analyze": ("folders", write_analyze_folders),
    "lits": ("lits", write_lits),
    "manifest": ("manifest", write_manifest),
    "nnunet_raw": ("nnunet_raw", write_nnunet_raw),
    "ucsb": ("ucsb", write_ucsb),
    "vessel12": ("vessel12", write_vessel12),
}
"""Name of the layout and generator, by what the tree is called in tests; `write(folder, count=3)`."""
