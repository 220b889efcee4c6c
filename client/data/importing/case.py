"""One case: judge every header, check what is read, and write what it becomes.

Runs in a process of its own, so whatever happens to a case is returned and not raised. Only what is wrong
with the folder that is written to (a full disk) ends the run.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from client.data import formats
from client.data.check import check_grid, check_image, whole_numbers
from client.data.formats.base import judged
from client.data.formats.dicom_seg import DicomSeg
from client.data.importing.canonical import GZIP_LEVEL, write_canonical
from client.data.importing.points import points_to_ras, write_points
from client.data.importing.records import FORMAT, File, Record, Steps
from client.data.layouts.base import Listed
from client.data.layouts.manifest import fit_for_a_channel
from client.data.points_table import read_points
from client.data.preparing.masks import read_mask
from client.data.volumes import RGB, Volume
from shared.errors import CaseError

COLOURED = frozenset({"tiff", "dicom"})
LONGEST_NAME = 40
WHOLE = "whole numbers from 0 are expected. Export the label again."
IMAGES, LABELS, REGIONS = FOLDERS = ("images", "labels", "regions")


@dataclass(frozen=True)
class Job:
    """A case to import into `folder` under its pseudonym."""

    item: Listed
    pseudonym: str
    folder: Path
    known: Record | None = None


@dataclass(frozen=True)
class Done:
    """What became of a case: a record, or the reason why it was left out; `detail` stays at the site."""

    pseudonym: str
    record: Record | None = None
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class _Sources:
    """Headers by channel (`images`) and the digests of all files, by channel, `label` and `region`."""

    images: Mapping[str, formats.Header]
    digests: Mapping[str, tuple[str, ...]]
    inputs: str


def still_good(job: Job) -> bool:
    """Whether a known case was made of just these sources, and its files are as they were written."""
    if job.known is None:
        return False
    try:
        return job.known.inputs == _sources(job.item).inputs and all(
            _digest(job.folder / path) == file.sha256 for path, file in job.known.files.items()
        )
    except (CaseError, OSError):
        return False


def imported(job: Job) -> Done:
    """Import one case. Raises OSError where its files cannot be written."""
    try:
        return Done(job.pseudonym, _written(job))
    except CaseError as error:
        return Done(job.pseudonym, reason=error.reason, detail=str(error))
    except OSError:
        raise
    except MemoryError:
        detail = f"{job.item.case} needs more memory than this machine has free."
        return Done(job.pseudonym, reason="too_large", detail=detail)
    except Exception as error:  # one odd file, whatever is wrong with it, must not end the run
        detail = f"{', '.join(map(str, job.item.images.values()))}: {type(error).__name__}: {error}"
        return Done(job.pseudonym, reason="unreadable", detail=detail)


def crashed(job: Job) -> Done:
    """Say that a case ended the process that read it."""
    detail = f"{job.item.case}: the process that read it died, mostly for want of memory."
    return Done(job.pseudonym, reason="crashed", detail=detail)


def _sources(item: Listed) -> _Sources:
    """Judge the headers of a case and hash its files."""
    headers = {channel: formats.header(path) for channel, path in item.images.items()}
    files = {channel: header.files for channel, header in headers.items()}
    if item.label is not None:
        alone = item.label_kind == "points" or formats.find(item.label).name == DicomSeg.name
        files["label"] = (item.label,) if alone else formats.header(item.label).files
    if item.region is not None:
        files["region"] = formats.header(item.region).files
    digests: dict[str, tuple[str, ...]] = {}
    for what, paths in files.items():
        with judged(paths[0]):
            digests[what] = tuple(sorted(map(_digest, paths)))
    parts = [FORMAT, item.label_kind, item.components, list(digests.items())]
    return _Sources(headers, digests, hashlib.sha256(json.dumps(parts).encode()).hexdigest())


def _written(job: Job) -> Record:
    item = job.item
    sources = _sources(item)
    first = next(iter(sources.images.values()))
    grid = Volume(np.broadcast_to(np.float32(0), first.shape), first.affine)  # sets no memory aside
    names = _channels(item, sources.images)
    files: dict[str, File] = {}
    # The label first: what is wrong with it is found before an image was written.
    if item.label is not None and item.label_kind == "points":
        points = points_to_ras(read_points(item.label, grid.shape), grid.affine, grid.shape)
        path = f"{LABELS}/{job.pseudonym}.csv"
        files[path] = File(kind="label", sha256=write_points(job.folder / path, points))
    elif item.label is not None:
        path = f"{LABELS}/{job.pseudonym}.nii.gz"
        files[path] = _mask(job, item.label, grid, path, "label")
    if item.region is not None:
        path = f"{REGIONS}/{job.pseudonym}.nii.gz"
        files[path] = _mask(job, item.region, grid, path, "region")
    for channel, source in item.images.items():
        image = formats.read(source)
        check_image(image, case=item.case)
        parts = image.array if image.array.ndim == 4 else image.array[None]
        for part, name in zip(parts, names[channel], strict=True):
            path = f"{IMAGES}/{job.pseudonym}_{_spelled(name, names)}.nii.gz"
            header = sources.images[channel]
            files[path] = _volume(
                job, Volume(part, image.affine), header=header, path=path, kind="image", channel=name
            )
    return Record(label_kind=item.label_kind, inputs=sources.inputs, sources=sources.digests, files=files)


def _mask(job: Job, source: Path, grid: Volume, path: str, what: str) -> File:
    """Read, check and write a label of voxels, or a region."""
    image = next(iter(job.item.images.values()))
    seg = formats.find(source).name == DicomSeg.name
    header = formats.header(image if seg else source)
    mask = read_mask(source, grid)
    check_grid(grid, mask, case=job.item.case, what=what)
    values = whole_numbers(mask.array, case=job.item.case, expected=WHOLE)
    rounded = not np.array_equal(values, mask.array)
    whole = Volume(values.astype(np.float32), mask.affine)
    return _volume(job, whole, header=header, path=path, kind=what, seg=seg, rounded=rounded)


def _volume(
    job: Job,
    volume: Volume,
    *,
    header: formats.Header,
    path: str,
    kind: str,
    channel: str | None = None,
    seg: bool = False,
    rounded: bool = False,
) -> File:
    written = write_canonical(job.folder / path, volume.array, volume.affine)
    steps = Steps(
        read=DicomSeg.name if seg else header.format,
        stored="segments" if seg else str(header.dtype),
        turned_from=written.turned_from,
        rounded=rounded,
        dtype=written.dtype,
        gzip_level=GZIP_LEVEL,
    )
    return File.model_validate(
        {"kind": kind, "channel": channel, "sha256": written.sha256, "voxels": written.voxels, "steps": steps}
    )


def _channels(item: Listed, headers: Mapping[str, formats.Header]) -> dict[str, tuple[str, ...]]:
    """Name the channels that each image becomes: one, or one a component of its voxels.

    Raises
    ------
    CaseError
        `unsupported_channels`: two channels of one name, or a name that a manifest cannot hold.
    """
    names = {}
    for channel, header in headers.items():
        inner: tuple[str, ...] = (channel,)
        if header.components > 1:
            if len(item.components) == header.components:
                inner = item.components
            elif header.components == len(RGB) and (header.format in COLOURED or header.dtype == np.uint8):
                inner = RGB
            else:
                inner = tuple(f"{channel}{index}" for index in range(header.components))
            if len(headers) > 1 and inner[0] != f"{channel}0":
                inner = tuple(f"{channel}_{name}" for name in inner)
        names[channel] = inner
    every = [name for inner in names.values() for name in inner]
    if len(set(every)) < len(every) or not all(map(fit_for_a_channel, every)):
        raise CaseError(
            "unsupported_channels",
            f"{item.case} has the channels {', '.join(map(repr, every))}, expected each once and none that "
            "manifest.csv uses itself. Rename them.",
        )
    return names


def _spelled(name: str, names: Mapping[str, tuple[str, ...]]) -> str:
    """Spell a channel's name for a file: it may hold anything, such as a path."""
    plain = re.sub(r"[^A-Za-z0-9+-]+", "-", name)[:LONGEST_NAME]
    if plain == name:
        return name
    every = [one for inner in names.values() for one in inner]
    return f"{plain}_{every.index(name)}"  # no plain name has a `_`


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
