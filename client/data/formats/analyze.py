"""Pairs of `.hdr` and `.img`: NIfTI in two files, and Analyze 7.5 as SPM writes it.

The `.img` is the file of the same stem in the same folder: a header cannot name another. A `.mat` file that
SPM may have left beside the two is not read.
"""

from pathlib import Path

import nibabel as nib

from client.data.formats.base import Header, judged, unreadable
from client.data.formats.nifti import Plan, first_block, held, magic, plan_of, scl_fields, voxels
from client.data.formats.streams import beside, opened, start_of
from client.data.limits import Limits
from client.data.volumes import Volume
from shared.errors import CaseError

NAME = "pair"
ENDINGS = {".hdr": (".img", ".img.gz"), ".hdr.gz": (".img.gz", ".img")}
NO_ORIENTATION = (
    "Analyze states no orientation: the first axis is taken to run from right to left, as SPM and nibabel do"
)


class Pair:
    """A header file and, beside it, the voxels."""

    name = NAME
    suffixes: tuple[str, ...] = tuple(ENDINGS)

    def recognises(self, path: Path) -> bool:
        """Whether it is called `.hdr` and begins with a header of NIfTI's or Analyze's size."""
        if not path.name.lower().endswith(self.suffixes):
            return False
        block = start_of(path, 540, unpack=True)
        return bool(magic(block)) and not magic(block).startswith(b"n+")

    def header(self, path: Path, limits: Limits) -> Header:
        """Judge the header and the length of the `.img`; see `Format.header`."""
        with judged(path):
            plan = _plan(path, limits)
            with opened(plan.file) as (_, most_bytes):
                held(plan, most_bytes)
            return plan.header

    def read(self, path: Path, limits: Limits) -> Volume:
        """Read the voxels, scaled as the header says; `path` is the `.hdr`.

        Raises
        ------
        CaseError
            As for NIfTI, and `outside_file` where the `.img` is a link.
        """
        with judged(path):
            plan = _plan(path, limits)
            with opened(plan.file) as (stream, most_bytes):
                held(plan, most_bytes)
                return voxels(stream, plan, 0, limits)


def _plan(path: Path, limits: Limits) -> Plan:
    with opened(path) as (stream, _):
        block, kind = first_block(stream, path)
    found = magic(block)
    if found.startswith(b"n+"):
        raise unreadable(path, f"its magic is {found!r}, expected ni1 or ni2 (two files)")
    files = (path, _image_of(path))
    if found.startswith(b"ni"):
        raw = kind(block, check=False)
        return plan_of(raw, limits, name=NAME, files=files, first_offset=0, scaling=scl_fields(raw))
    if len(block) != nib.Spm2AnalyzeHeader.sizeof_hdr:
        raise unreadable(path, f"its magic is {found!r}, expected ni2")
    raw = nib.Spm2AnalyzeHeader(block, check=False)
    slope, intercept = raw.get_slope_inter()
    scaling = (1.0 if slope is None else float(slope), float(intercept or 0.0))
    return plan_of(
        raw, limits, name=NAME, files=files, first_offset=0, scaling=scaling, notes=(NO_ORIENTATION,)
    )


def _image_of(path: Path) -> Path:
    """Return the one `.img` or `.img.gz` of the same stem, whatever its case."""
    ending = next((e for e in sorted(ENDINGS, key=len, reverse=True) if path.name.lower().endswith(e)), "")
    if not ending:
        raise unreadable(path, "a header of a pair must be called .hdr")
    stem = path.name[: -len(ending)]
    wanted = {(stem + image).lower() for image in ENDINGS[ending]}
    found = sorted(
        other.name
        for other in path.parent.iterdir()
        if other.name.lower() in wanted and other.name.startswith(stem)
    )
    if len(found) > 1:
        raise CaseError(
            "duplicate_case", f"{path} has {len(found)} files of voxels, {', '.join(found)}. Keep one."
        )
    return beside(path, found[0] if found else stem + ENDINGS[ending][0])
