"""Facts and faults of one case, without any study: each file is decoded once, within the formats' limits."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from client.data import formats
from client.data.check import check_grid, check_image, whole_numbers
from client.data.cures import cure
from client.data.formats import Header
from client.data.formats.dicom_seg import DicomSeg, segments
from client.data.formats.dicom_series import DicomSeries
from client.data.formats.tiff import Tiff
from client.data.inspection.contact_sheet import Marks, pictures_of
from client.data.inspection.facts import CaseFacts, ChannelFacts, Fault, LabelFacts, LabelValue, Picture
from client.data.inspection.measures import counts_of, intensity_of, pixel_digest
from client.data.layouts.base import ONE_CHANNEL, LabelKind, Listed
from client.data.layouts.dicom_index import indexed
from client.data.points_table import read_points
from client.data.preparing.masks import read_mask
from client.data.volumes import RGB, Volume, spacing_mm
from shared.errors import CaseError

WHOLE = "expected whole numbers from 0. Write one number a structure."


@dataclass(frozen=True, eq=False)
class Examined:
    """The facts of a case, and pictures of it if they were asked for."""

    facts: CaseFacts
    pictures: tuple[Picture, ...] = ()


def examine(item: Listed, *, draw: bool = False) -> Examined:
    """Read one case and say what is in it and what is wrong; raises nothing that a file can cause.

    A fault stops the reading of the case. What was found before it, and a picture of it, are kept.
    """
    reading = _Reading(item)
    fault = None
    try:
        reading.all()
    except CaseError as error:
        fault = Fault(case=item.case, reason=error.reason, detail=str(error), cure=cure(error.reason))
    except Exception as error:  # one odd file, whatever is wrong with it, must not end an inspection
        detail = f"{', '.join(map(str, item.images.values()))}: {type(error).__name__}: {error}"
        fault = Fault(case=item.case, reason="unreadable", detail=detail, cure=cure("unreadable"))
    facts = CaseFacts(
        case=item.case,
        patient=item.patient,
        channels=tuple(reading.channels),
        label=reading.label,
        region=reading.region,
        fault=fault,
    )
    return Examined(facts, reading.pictures() if draw else ())


class _Reading:
    """One case while it is read: the facts so far, and the voxels of its first file."""

    def __init__(self, item: Listed) -> None:
        self._item = item
        self._first: tuple[Header, Volume] | None = None
        self._marks: Marks | None = None
        self.channels: list[ChannelFacts] = []
        self.label: LabelFacts | None = None
        self.region: LabelFacts | None = None

    def all(self) -> None:
        """Read images, region and label in turn.

        Raises
        ------
        CaseError
            As the formats and check.py do; `label_missing`, `empty_label` (a window without a pixel marked).
        """
        item = self._item
        for name, path in item.images.items():
            header, volume = formats.header(path), formats.read(path)
            self.channels += _channels(item, name, header, volume)
            if self._first is None:
                self._first = header, volume
            check_image(volume, case=item.case)
            check_grid(self._first[1], _one_component(volume), case=item.case, what=f"{name} image")
        if item.region is not None:
            self.region, _ = self._mask(item.region, "volume", "region")
        if item.label is None:
            files = ", ".join(map(str, item.images.values()))
            raise CaseError("label_missing", f"no label for the image {files}")
        if item.label_kind == "points":
            self.label, self._marks = self._points(item.label)
        else:
            self.label, self._marks = self._mask(item.label, item.label_kind, "label")
        if item.label_kind == "window" and self.label.is_empty:
            raise CaseError("empty_label", f"{item.label} marks no pixel, so it does not say where to look.")

    def pictures(self) -> tuple[Picture, ...]:
        """Draw what was read; nothing if no image was, or if it cannot be drawn."""
        if self._first is None:
            return ()
        header, volume = self._first
        try:
            return pictures_of(volume, self._marks, is_body=header.format != Tiff.name)
        except Exception:  # whatever is wrong with the voxels stands in the facts
            return ()

    def _mask(self, path: Path, kind: LabelKind, what: str) -> tuple[LabelFacts, Marks]:
        header, image = self._grid()
        known = formats.find(path)
        is_seg = known.name == DicomSeg.name
        found = read_mask(path, header)
        check_grid(image, found, case=self._item.case, what=what)
        values = whole_numbers(found.array, case=self._item.case, expected=WHOLE)
        voxel_ml = float(np.prod(spacing_mm(image.affine))) / 1000
        names = {one.number: one.label for one in segments(path, formats.DEFAULT)} if is_seg else {}
        facts = LabelFacts(
            kind=kind,
            format=known.name,
            values=tuple(
                LabelValue(
                    value=value,
                    count=count,
                    ml=None
                    if header.format == Tiff.name
                    else round(count * voxel_ml, 6),  # a photograph has no depth
                    name=names.get(value),
                )
                for value, count in counts_of(values)
            ),
        )
        return facts, Marks(voxels=values)

    def _points(self, path: Path) -> tuple[LabelFacts, Marks]:
        _, image = self._grid()
        rows = read_points(path, image.shape)
        values, counts = np.unique(rows[:, 3], return_counts=True)
        found = tuple(
            LabelValue(value=value, count=count)
            for value, count in zip(values.tolist(), counts.tolist(), strict=True)
        )
        return LabelFacts(kind="points", format="csv", values=found), Marks(points=rows)

    def _grid(self) -> tuple[Header, Volume]:
        if self._first is None:
            raise CaseError("image_missing", f"{self._item.case} has no image.")
        return self._first


def _channels(item: Listed, name: str, header: Header, volume: Volume) -> Iterator[ChannelFacts]:
    array = volume.array if volume.array.ndim == 4 else volume.array[None]
    parts = [name]
    if len(array) > 1:
        default = RGB if len(array) == 3 else tuple(str(number) for number in range(len(array)))
        own = item.components if len(item.components) == len(array) else default
        parts = list(own) if len(item.images) == 1 else [f"{name} {part}" for part in own]
    spacing = spacing_mm(volume.affine)
    modality = _modality(name, header, len(array))
    for part, values in zip(parts, array, strict=True):
        yield ChannelFacts(
            channel=part,
            modality=modality,
            format=header.format,
            shape=volume.shape,
            spacing_mm=tuple(spacing.tolist()),
            orientation="".join(nib.orientations.aff2axcodes(volume.affine)),
            dtype=header.dtype.name,
            intensity=intensity_of(values),
            pixels=pixel_digest(values, volume.affine),
            notes=header.notes,
        )


def _modality(name: str, header: Header, components: int) -> str | None:
    if header.format == DicomSeries.name:
        found, _ = indexed(header.files[:1])
        return (found[0].modality or None) if found else None
    if components == len(RGB):
        return "RGB"
    return None if name == ONE_CHANNEL or name.isdecimal() else name


def _one_component(volume: Volume) -> Volume:
    return volume if volume.array.ndim == 3 else Volume(volume.array[0], volume.affine)
