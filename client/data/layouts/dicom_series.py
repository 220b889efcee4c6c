"""DICOM as an archive exports it: a folder a series, segmentations as DICOM SEG or as series of masks.

A label belongs to the series that it refers to (ReferencedSeriesSequence), or else to the only image of its
study in its frame of reference. Folders and files are often called after patients: cases and patients are
called by digests of series and study identifiers, never of PatientID, which could be guessed and tried.
"""

import re
from pathlib import Path

from client.data.formats.dicom_file import is_dicom
from client.data.layouts.base import Evidence, Part, Skipped, Sorted
from client.data.layouts.dicom_index import Series, indexed
from client.data.layouts.layout import Layout
from client.data.layouts.pairing import opaque
from client.data.layouts.tree import Tree, ending
from shared.errors import CaseError

DICOM = frozenset({"", ".dcm", ".dicom", ".ima"})
MASK = re.compile(
    r"(?i)(?<![a-z])(?:masks?|labels?|seg|segmentations?|annotations?|ground[ _-]?truth|gt)(?![a-z])"
)


class DicomSeries(Layout):
    """A case is a series of images, `patient` all series with one PatientID, called by their first study."""

    name = "dicom_series"
    patients_by = "DICOM PatientID"
    wants = "folders of DICOM files, one series each, with DICOM SEG files or series of masks"
    shows_names = False

    def evidence(self, tree: Tree) -> Evidence:
        """Specific if most of the scans are DICOM."""
        count = sum(ending(path.name).lower() in DICOM and is_dicom(path) for path in tree.readable)
        return Evidence.SPECIFIC if 2 * count > len(tree.scans) else Evidence.NONE

    def sort(self, tree: Tree) -> Sorted:
        """Each series is an image, a label or named as neither."""
        files = [path for path in tree.readable if ending(path.name).lower() in DICOM]
        series, broken = indexed(files)
        people = _people(series)
        labels = {one for one in series if _is_label(tree, one)}
        images = [one for one in series if one.is_image and one not in labels]
        parts: list[Part] = []
        skipped = {
            opaque("file", tree.relative(path)): Skipped(
                opaque("file", tree.relative(path)), error.reason, str(error)
            )
            for path, error in broken
        }
        for one in sorted(series, key=lambda one: one in labels):  # images first
            case = _case(one)
            try:
                if one in labels:
                    case = _case(_drawn_on(one, images))
                elif not one.is_image:
                    kind = one.modality or "?"
                    raise CaseError("not_an_image", f"{_where(one)} is of the kind {kind}: no image, no SEG.")  # noqa: TRY301
                path = _path(one, series)
            except CaseError as error:
                _add(skipped, Skipped(case, error.reason, str(error)))
            else:
                patient = people.get(one.person) if one.person else None
                parts.append(Part(case, "label" if one in labels else "image", path, patient=patient))
        for part in [part for part in parts if part.case in skipped]:  # of a case whose other part is refused
            parts.remove(part)
            _add(skipped, Skipped(part.case, "", str(part.path)))
        return Sorted(parts, list(skipped.values()), used=frozenset(files))


def _add(skipped: dict[str, Skipped], skip: Skipped) -> None:
    """One case is skipped once, for the first reason found; what else is of it stands in the detail."""
    first = skipped.get(skip.case)
    if first is not None:
        skip = Skipped(first.case, first.reason, f"{first.detail} Also of this case: {skip.detail}")
    skipped[skip.case] = skip


def _people(series: list[Series]) -> dict[tuple[str, str], str]:
    """Name each person by a digest of their first study: a later scan does not change it."""
    first: dict[tuple[str, str], tuple[str, str]] = {}
    for one in series:
        if one.person is not None:
            known = first.get(one.person)
            mine = (one.date or "99999999", one.study or one.uid)
            first[one.person] = mine if known is None else min(known, mine)
    return {person: opaque("patient", study) for person, (_, study) in first.items()}


def _is_label(tree: Tree, series: Series) -> bool:
    """Whether it is a segmentation, or is called a mask by its description or by a folder."""
    if series.is_segmentation or series.modality == "SEG":
        return True
    folders = [name for path in series.folders for name in path.relative_to(tree.folder).parts]
    return series.is_image and any(MASK.search(text) for text in (series.description, *folders))


def _drawn_on(label: Series, images: list[Series]) -> Series:
    named = [one for one in images if one.uid in label.refers_to]
    found = named or [
        one for one in images if label.frame and (one.frame, one.study) == (label.frame, label.study)
    ]
    if not found:
        raise CaseError("image_missing", f"no image series here fits the label {_where(label)}. Add it.")
    if len(found) > 1:
        names = "; ".join(_where(one) for one in found[:5])
        raise CaseError(
            "label_ambiguous",
            f"{_where(label)} fits {len(found)} image series, expected one: {names}. "
            "Keep the one that it was drawn on, or state it in a manifest.csv.",
        )
    return found[0]


def _path(one: Series, series: list[Series]) -> Path:
    """Return the file of a series of one file, or the folder that holds one series only."""
    if len(one.files) == 1:
        return one.files[0]
    if len(one.folders) > 1:
        raise CaseError(
            "duplicate_case", f"one series lies in {_where(one)}, expected one folder. Keep one copy."
        )
    folder = one.folders[0]
    others = [
        s for s in series if s is not one and s.is_image and not s.is_segmentation and folder in s.folders
    ]
    if others:
        raise CaseError(
            "several_series",
            f"{folder} holds {len(others) + 1} series, expected one. Give each a folder of its own.",
        )
    return folder


def _case(series: Series) -> str:
    return opaque("series", series.uid)


def _where(series: Series) -> str:
    paths = series.files if len(series.files) == 1 else series.folders
    return ", ".join(map(str, paths))
