"""All that the page of one scan shows, gathered: what is gone or outdated is told, never guessed."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from client.predict.names import FOLDER
from client.predict.source import SourceFiles
from client.reasons.score import Part, adds_up, parts
from client.result import PriorityFound, Result
from client.verdicts import Verdict
from client.web.hospital import Hospital
from client.worklist import WAITING, ModelInUse, Row
from client.worklist.export import case_history
from shared.database import utc_now
from shared.errors import ConfigError

RESULT = "result.json"
OVERLAYS = ("mask", "probability", "attribution")
EXPORTS = {
    "mask": "mask of the findings (NIfTI)",
    "probability": "probability in percent (NIfTI)",
    "attribution": "attribution of the largest finding, log-odds (NIfTI)",
    "segmentation": "findings as DICOM SEG",
    "report": "measurements as DICOM SR",
    "page": "one page (HTML)",
    "result": "all of it for programs (JSON)",
}
SHOWN = 50  # findings, the largest: noise can make thousands
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7", "#0072b2")
"""Of the mask's classes in turn (Okabe and Ito); words stand beside them."""


@dataclass(frozen=True)
class OneScan:
    """One scan of the worklist, and its result where that is still on disk."""

    here: Hospital
    scan: str
    case: str

    @cached_property
    def row(self) -> Row:
        """Its line on the worklist."""
        return self.here.worklist.row(self.case)

    @cached_property
    def source_digest(self) -> str:
        """Which result is listed."""
        return self.here.worklist.source_digest(self.case)

    @cached_property
    def _found(self) -> tuple[Result, Path] | None:
        """The listed result and its folder: in the work folder, which may have moved, or where it was."""
        places = [self.here.site.work / FOLDER / self.scan / RESULT]
        if self.row.result is not None:
            places.append(Path(self.row.result))
        for path in places:
            try:
                found = Result.read(path)
            except ConfigError:
                continue
            if found.source_digest == self.source_digest:
                return found, path.parent
        return None

    @property
    def result(self) -> Result | None:
        """The listed result; None where its file is gone or is another one by now."""
        return None if self._found is None else self._found[0]

    @cached_property
    def files(self) -> dict[str, Path]:
        """The files of the result that are there, by kind."""
        if self._found is None:
            return {}
        result, folder = self._found
        found = {kind: folder / Path(name).name for kind, name in result.files.items()}
        found["result"] = folder / RESULT
        return {kind: path for kind, path in found.items() if path.is_file()}

    @cached_property
    def source(self) -> SourceFiles | None:
        """Where the scan's own files lie; None where nobody knows."""
        try:
            return SourceFiles.read(self.files["source"]) if "source" in self.files else None
        except ConfigError:
            return None

    @property
    def why_no_volume(self) -> str | None:
        """Why the scan itself cannot be shown, in words; None if it can, as far as is known."""
        if self.result is None:
            return "The result is no longer on this machine. Read the scan again, then open it anew."
        if self.source is None:
            return "It is not known where the scan's files lie. Read the scan again, then open it anew."
        if not all(path.exists() for path in self.source.images.values()):
            return "The scan's own files were moved or removed. Put them back, or read the scan again."
        return None

    @cached_property
    def priority(self) -> PriorityFound | None:
        """The priority that counts: a new calibration may have scored the scan anew since it was read."""
        return self.here.worklist.newest_priority(self.case)

    @property
    def parts(self) -> list[Part]:
        """The score as a sum."""
        return parts(self.priority) if self.priority else []

    @property
    def adds_up(self) -> bool:
        """Whether the parts are the whole score."""
        return self.priority is None or adds_up(self.priority)

    @property
    def changes(self) -> tuple[str, ...] | None:
        """What would change the tier; None where it was not asked under the calibration that counts."""
        if self.priority is None or self.result is None or self.result.priority is None:
            return None
        same = self.result.versions.calibration_digest == self.row.calibration_digest
        return self.result.priority.changes if same else None

    @cached_property
    def outdated(self) -> str | None:
        """How another model or calibration than the one in use made the result; None if it did not."""
        try:
            model = ModelInUse.read(self.here.site.work / "model")
        except ConfigError:
            return None
        if model is None:
            return None
        if model.weights_digest != self.row.weights_digest:
            return "Another model than the one in use now read this scan. Read it again to see what it finds."
        if model.calibration_digest != self.row.calibration_digest:
            return "Another calibration than the one in use now scored this scan."
        return None

    @property
    def history(self) -> list[dict[str, Any]]:
        """Everything that happened to it, the newest first."""
        lines = case_history(self.here.worklist, self.case)[::-1]
        return [{**line, "time": datetime.fromisoformat(line["time"])} for line in lines]

    @property
    def others(self) -> list[tuple[str, Row]]:
        """The other scans of the same patient, each with the name that addresses call it."""
        return [
            (self.here.scan_name(row.case), row) for row in self.here.worklist.others_of_patient(self.case)
        ]

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """The verdicts that count, of all readers, the newest first."""
        return self.here.verdicts.counting(self.case)[::-1]

    def verdict_of(self, reader: str) -> Verdict | None:
        """Return what a reader said of this very result."""
        own = (one for one in self.verdicts if one.reader == reader)
        return next((one for one in own if one.source_digest == self.source_digest), None)

    def next(self) -> str | None:
        """Return the next scan that waits, by the name that addresses call it."""
        waiting = self.here.worklist.order_of(WAITING, utc_now())
        other = next((case for case in waiting if case != self.case), None)
        return None if other is None else self.here.scan_name(other)

    @property
    def viewer(self) -> dict[str, Any]:
        """What the viewer's script is told; no names but those of channels and classes."""
        result = self.result
        if result is None or self.source is None:
            return {}
        base = f"/scan/{self.scan}"
        return {
            "image": f"{base}/image.nii",
            "overlays": {kind: f"{base}/{kind}.nii" for kind in OVERLAYS if kind in self.files},
            "classes": [
                {"name": name, "colour": COLOURS[number % len(COLOURS)]}
                for number, name in enumerate(result.classes)
            ],
            "findings": [
                {"number": one.number, "mm": np.mean(one.diameter_ends_mm, axis=0).round(3).tolist()}
                for one in result.findings[:SHOWN]
            ],
            **_slices(self.files.get("mask")),
        }


def _slices(mask: Path | None) -> dict[str, Any]:
    """How many axial slices the scan's files have, and the row (4,) that gives their number from RAS mm."""
    if mask is None:
        return {"slices": None, "slice_row": None}
    header = nib.load(mask)
    affine = np.asarray(header.affine, np.float64)
    axis = int(np.argmax(nib.orientations.io_orientation(affine)[:, 0] == 2))
    return {"slices": int(header.shape[axis]), "slice_row": np.linalg.inv(affine)[axis].tolist()}
