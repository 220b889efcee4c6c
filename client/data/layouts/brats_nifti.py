"""BraTS of later years: `<case>/<case>_flair.nii.gz`, `_t1`, `_t1ce`, `_t2` and the label `_seg`.

From 2023 on `<case>-t2f.nii.gz`, `-t1n`, `-t1c`, `-t2w`, `-seg`. May lie in `HGG/` and `LGG/`.
"""

import re
from pathlib import Path

from client.data.layouts.base import Evidence, Part, Sorted
from client.data.layouts.layout import Layout
from client.data.layouts.tree import Tree, stem

CHANNELS = ("t1", "t1ce", "t2", "flair")
NAMES = {**{name: name for name in CHANNELS}, "t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair"}
SCAN = re.compile(rf"(?i)(?P<case>.+)[_-](?P<what>{'|'.join(NAMES)}|seg)")
TIME_POINT = re.compile(r"(?P<patient>BraTS-\w+-\d+)-\d{3}")  # from 2023 on


class BratsNifti(Layout):
    """A case is a folder, and its files begin with the name of the folder."""

    name = "brats_nifti"
    patients_by = "the names of the time points"
    wants = "<case>/<case>_flair.nii.gz and the like"

    def evidence(self, tree: Tree) -> Evidence:
        """Specific if one folder's files are named after it and a modality of BraTS."""
        found = (_match(path) for path in tree.readable)
        here = any(match and match["what"].lower() != "seg" for match in found)
        return Evidence.SPECIFIC if here else Evidence.NONE

    def sort(self, tree: Tree) -> Sorted:
        """Each file by its own name."""
        parts = []
        for path in tree.readable:
            if not (match := _match(path)):
                continue
            case, what = path.parent.name, match["what"].lower()
            time_point = TIME_POINT.fullmatch(case)
            patient = time_point["patient"] if time_point else None
            if what == "seg":
                parts.append(Part(case, "label", path, patient=patient))
            else:
                parts.append(Part(case, "image", path, NAMES[what], patient))
        return Sorted(parts, channels=CHANNELS)


def _match(path: Path) -> re.Match[str] | None:
    match = SCAN.fullmatch(stem(path.name)) if path.name.lower().endswith((".nii", ".nii.gz")) else None
    return match if match and match["case"] == path.parent.name else None
