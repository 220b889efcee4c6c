"""Break files of a site in the ways they are found broken in hospitals."""

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np


def damage(folder: Path, count: int) -> list[str]:
    """Damage the first `count` cases of a Decathlon folder, each in another way; returns their names."""
    images = sorted((folder / "imagesTr").glob("*.nii.gz"))[:count]
    for index, image in enumerate(images):
        WAYS[index % len(WAYS)](image, folder / "labelsTr" / image.name)
    return [image.name.removesuffix(".nii.gz") for image in images]


def _cut_off(image: Path, label: Path) -> None:
    del label
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])


def _not_nifti(image: Path, label: Path) -> None:
    del label
    image.write_bytes(gzip.compress(b"this is a letter, not a scan\n" * 40))


def _without_label(image: Path, label: Path) -> None:
    del image
    label.unlink()


def _not_finite(image: Path, label: Path) -> None:
    del label
    scan = nib.load(image)
    values = np.asarray(scan.dataobj, dtype=np.float32)
    values[0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(values, scan.affine), image)


def _other_shape(image: Path, label: Path) -> None:
    del image
    mask = nib.load(label)
    nib.save(nib.Nifti1Image(np.asarray(mask.dataobj)[:-1], mask.affine), label)


def _unknown_label(image: Path, label: Path) -> None:
    del image
    mask = nib.load(label)
    values = np.asarray(mask.dataobj).astype(np.uint8)
    values[0, 0, 0] = 77
    nib.save(nib.Nifti1Image(values, mask.affine), label)


WAYS: tuple[Callable[[Path, Path], None], ...] = (
    _cut_off,
    _not_nifti,
    _without_label,
    _not_finite,
    _other_shape,
    _unknown_label,
)
