"""One volume as canonical NIfTI: RAS order, the narrowest exact type, a clean header, equal bytes each time.

Nothing is resampled and no value changes: `formats.read` of what is written equals `to_ras` of what was read,
to the voxel, and to the 32 bits of a NIfTI header in the affine.
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from client.data.volumes import Affine, array_to_ras, spacing_mm
from shared.files import write_atomically

GZIP_LEVEL = 6
LONGEST_AXIS = 2**15 - 1  # of NIfTI-1; longer ones are written as NIfTI-2
SLAB_BYTES = 2**22
NARROW = tuple(np.dtype(name) for name in ("u1", "i1", "<i2", "<u2", "<i4", "<u4"))
SCANNER = 1  # NIfTI-1: codes of qform and sform
MOST_OFF_MM = 1e-3


@dataclass(frozen=True)
class Written:
    """What became of one volume: `turned_from` is its axis code before it was RAS.

    `sha256` is of the file, `voxels` of the voxels with their shape and spacing, however they are stored.
    """

    turned_from: str
    dtype: str
    sha256: str
    voxels: str


def write_canonical(path: Path, array: npt.NDArray[Any], affine: Affine) -> Written:
    """Write finite voxels (X, Y, Z) with `affine` (4, 4), index to RAS+ world in mm, in one step."""
    turn = nib.orientations.io_orientation(affine)
    ras = affine @ nib.orientations.inv_ornt_aff(turn, array.shape)
    voxels = array_to_ras(array.astype(narrowest(array)), affine)
    header = nifti_header(voxels, ras)
    pixels = hashlib.sha256(
        repr((voxels.shape, voxels.dtype.str, spacing_mm(ras).round(3).tolist())).encode()
    )
    slices = max(1, SLAB_BYTES // max(1, voxels[..., 0].nbytes))
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        with gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as packed:  # no name and no time inside
            packed.write(header)
            for first in range(0, voxels.shape[2], slices):
                slab = voxels[..., first : first + slices].tobytes(order="F")
                pixels.update(slab)
                packed.write(slab)
        file.flush()
        with temporary.open("rb") as whole:
            digest = hashlib.file_digest(whole, "sha256").hexdigest()
    code = "".join(nib.aff2axcodes(affine))
    return Written(code, str(voxels.dtype), digest, pixels.hexdigest())


def narrowest(array: npt.NDArray[Any]) -> np.dtype[Any]:
    """Return the smallest integer type that holds finite values exactly, or else float32."""
    single: np.dtype[Any] = np.dtype("<f4")
    low, high = float(array.min()), float(array.max())
    fitting = (kind for kind in NARROW if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    kind = next(fitting, single)
    if array.dtype.kind == "f" and kind != single:
        whole = all(np.array_equal(np.rint(slab), slab) for slab in np.moveaxis(array, -1, 0))
        return kind if whole else single
    return kind


def nifti_header(voxels: npt.NDArray[Any], affine: Affine) -> bytes:
    """All bytes of a NIfTI file before its voxels (X, Y, Z); what is not set here is zero."""
    kind = nib.Nifti1Header if max(voxels.shape) <= LONGEST_AXIS else nib.Nifti2Header
    header = kind(endianness="<")
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(voxels.shape)
    header.set_xyzt_units("mm")
    header.set_sform(affine, SCANNER)
    header.set_qform(affine, SCANNER)
    corners = np.array(voxels.shape) - 1
    off = (header.get_qform()[:3, :3] - affine[:3, :3]) @ corners
    if np.abs(off).max() > MOST_OFF_MM:  # a sheared grid, as of a tilted gantry: a quaternion cannot say it
        header.set_qform(None, 0)
        header["pixdim"][1:4] = spacing_mm(affine)
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["magic"] = header.single_magic
    header["vox_offset"] = header.sizeof_hdr + 4
    return bytes(header.binaryblock) + b"\0" * 4  # four zeros: no extension follows
