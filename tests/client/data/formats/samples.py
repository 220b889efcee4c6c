"""Good files of every format, made by code from a seed: never a person's."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  # as its own manual does
import tifffile
from pydicom import uid
from scipy.spatial.transform import Rotation

from tests.client.data.formats.dicoms import write_multiframe, write_seg, write_series

SHAPE = (9, 10, 7)
Affine = npt.NDArray[np.float64]


def picture(seed: int, dtype: Any = np.int16, *, components: int = 1) -> npt.NDArray[Any]:
    """(X, Y, Z) or (C, X, Y, Z) without symmetry, over much of the range of the type."""
    rng = np.random.default_rng(seed)
    shape = SHAPE if components == 1 else (components, *SHAPE)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return rng.normal(0, 1000, shape).astype(kind)
    info = np.iinfo(kind)
    # float32, which a Volume holds, counts without a gap up to 2 ** 24
    return rng.integers(max(info.min, -(2**24)), min(info.max, 2**24), shape, endpoint=True).astype(kind)


def oblique(*spacing_mm: float, flip: tuple[int, int, int] = (1, 1, 1), degrees: float = 20) -> Affine:
    """A right-handed or flipped, turned RAS affine with an origin of its own."""
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", [degrees, -degrees / 2, degrees / 3], degrees=True).as_matrix()
    affine[:3, :3] = turn * spacing_mm * flip
    affine[:3, 3] = (-20.5, 5.25, 30)
    return affine


def itk_image(array: npt.NDArray[Any], affine: Affine) -> sitk.Image:
    """The same volume for SimpleITK, which counts (Z, Y, X, C) and in LPS."""
    components = array.ndim == 4
    image = sitk.GetImageFromArray(array.T if not components else array.transpose(3, 2, 1, 0), components)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def from_itk(image: sitk.Image) -> tuple[npt.NDArray[Any], Affine]:
    """What SimpleITK has read, as (X, Y, Z) or (C, X, Y, Z), and its RAS affine."""
    array = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        array = np.moveaxis(array, -1, 0)
        array = array.transpose(0, *range(array.ndim - 1, 0, -1))
    else:
        array = array.T
    size = image.GetDimension()
    lps = np.eye(4)
    lps[:size, :size] = np.reshape(image.GetDirection(), (size, size)) * image.GetSpacing()
    lps[:size, 3] = image.GetOrigin()
    if size == 2:
        array = array[..., None]
    return array, np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps


def read_by_itk(path: Path) -> tuple[npt.NDArray[Any], Affine]:
    """Read a file, or the series of a folder, with SimpleITK."""
    if not path.is_dir():
        return from_itk(sitk.ReadImage(str(path)))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path)))
    return from_itk(reader.Execute())


def write_by_itk(path: Path, array: npt.NDArray[Any], affine: Affine, *, packed: bool = False) -> Path:
    """Write a file of the format that its suffix names with SimpleITK."""
    sitk.WriteImage(itk_image(array, affine), str(path), packed)
    return path


@dataclass(frozen=True)
class Sample:
    """`write` puts it into an empty folder and returns the path to read, the array and the affine."""

    name: str
    format: str
    write: Callable[[Path], tuple[Path, npt.NDArray[Any], Affine]]


Written = tuple[Path, npt.NDArray[Any], Affine]


def _nibabel(name: str, kind: Callable[..., Any], order: str = "<") -> Callable[[Path], Written]:
    def write(folder: Path) -> Written:
        array, affine = picture(1), oblique(1, 2, 3.5)
        image = kind(array, affine, kind.header_class(endianness=order))  # type: ignore[attr-defined]
        nib.save(image, folder / name)
        return folder / name, array, image.affine

    return write


def _analyze(folder: Path) -> Written:
    array = picture(2)
    affine = np.diag([-1.5, 2, 3, 1])
    image = nib.Spm99AnalyzeImage(array, None)
    image.header.set_zooms((1.5, 2, 3))
    nib.save(image, folder / "x.img")
    (folder / "x.mat").unlink(missing_ok=True)
    affine[:3, 3] = -(affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2))
    return folder / "x.hdr", array, affine


def _meta(name: str, *, packed: bool = False, components: int = 1) -> Callable[[Path], Written]:
    def write(folder: Path) -> Written:
        array, affine = picture(3, np.uint8, components=components), oblique(0.5, 0.5, 4, flip=(-1, 1, -1))
        return write_by_itk(folder / name, array, affine, packed=packed), array, affine

    return write


def _tiff(*, colour: bool, **options: Any) -> Callable[[Path], Written]:
    def write(folder: Path) -> Written:
        rng = np.random.default_rng(4)
        array = rng.integers(0, 256, (40, 33, 3) if colour else (40, 33), np.uint8)
        settings = {"photometric": "rgb" if colour else "minisblack", "metadata": None, **options}
        tifffile.imwrite(
            folder / "x.tif", array, resolution=(20, 40), resolutionunit="CENTIMETER", **settings
        )
        expected = array.transpose(2, 1, 0)[..., None] if colour else array.T[..., None]
        return folder / "x.tif", expected, np.diag([-0.5, -0.25, 1, 1])

    return write


def _series(dtype: Any = np.int16, **options: Any) -> Callable[[Path], Written]:
    def write(folder: Path) -> Written:
        array, affine = picture(5, dtype), oblique(0.7, 0.8, 2.5)
        write_series(folder, array, affine, **options)
        return folder, array, affine

    return write


def _multiframe(folder: Path) -> Written:
    array, affine = picture(6), oblique(0.7, 0.8, 2.5)
    return write_multiframe(folder / "x.dcm", array, affine), array, affine


def _seg(folder: Path) -> Written:
    label = np.zeros(SHAPE, np.uint8)
    label[2:5, 3:6, :] = 1
    label[6:8, 3:6, 2:4] = 2
    affine = oblique(0.7, 0.8, 2.5)
    return write_seg(folder, label, affine), label, affine


SAMPLES = (
    Sample("nii", "nifti", _nibabel("x.nii", nib.Nifti1Image)),
    Sample("nii.gz", "nifti", _nibabel("x.nii.gz", nib.Nifti1Image)),
    Sample("nifti-2 big endian", "nifti", _nibabel("x.nii", nib.Nifti2Image, ">")),
    Sample("nifti pair", "pair", _nibabel("x.hdr", nib.Nifti1Pair)),
    Sample("analyze pair", "pair", _analyze),
    Sample("mha", "metaimage", _meta("x.mha")),
    Sample("mha packed", "metaimage", _meta("x.mha", packed=True)),
    Sample("mha colour", "metaimage", _meta("x.mha", components=3)),
    Sample("mhd", "metaimage", _meta("x.mhd")),
    Sample("tiff grey", "tiff", _tiff(colour=False)),
    Sample("tiff rgb", "tiff", _tiff(colour=True, byteorder=">", bigtiff=True)),
    Sample("tiff tiles", "tiff", _tiff(colour=True, tile=(16, 16))),
    Sample("tiff deflate", "tiff", _tiff(colour=True, compression="zlib")),
    Sample("dicom series", "dicom", _series()),
    Sample("dicom series implicit", "dicom", _series(syntax=uid.ImplicitVRLittleEndian)),
    Sample("dicom series rle", "dicom", _series(syntax=uid.RLELossless)),
    Sample("dicom series jpeg 2000", "dicom", _series(syntax=uid.JPEG2000Lossless, dtype=np.uint16)),
    Sample("dicom multi-frame", "dicom", _multiframe),
    Sample("dicom seg", "dicom_seg", _seg),
)
