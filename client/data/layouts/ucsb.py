"""UCSB breast cancer cells: `Images/ytma10_010704_benign1_ccd.tif`, `Masks/ytma10_010704_benign1.TIF`.

Gelasca et al., Evaluation and benchmark for biological image segmentation, ICIP 2008. A mask labels one
window of its image only: cells outside it are not labelled and count neither as cells nor as background.
Images of one slide (`ytma10`) belong together.
"""

import re
from pathlib import Path

from client.data.layouts.base import Evidence, Kind, LabelKind, Part, Sorted
from client.data.layouts.layout import Layout
from client.data.layouts.tree import Tree, stem

CASE = re.compile(r"(?i)(?P<case>(?P<slide>ytma\d+)_\d+_(?:benign|malignant)\d+)(?P<image>_ccd)?")


class Ucsb(Layout):
    """Images end in `_ccd`; masks do not."""

    name = "ucsb"
    patients_by = "the slide"
    wants = "ytma<slide>_<date>_benign<n>_ccd.tif and the masks of the same name"
    label_kind: LabelKind = "window"

    def evidence(self, tree: Tree) -> Evidence:
        """Specific if one file is named as an image of this data set."""
        found = (_match(path) for path in tree.readable)
        return Evidence.SPECIFIC if any(match and match["image"] for match in found) else Evidence.NONE

    def sort(self, tree: Tree) -> Sorted:
        """Each file by its own name; `patient` is the slide."""
        parts = []
        for path in tree.readable:
            if match := _match(path):
                kind: Kind = "image" if match["image"] else "label"
                parts.append(Part(match["case"], kind, path, patient=match["slide"].lower()))
        return Sorted(parts)


def _match(path: Path) -> re.Match[str] | None:
    return CASE.fullmatch(stem(path.name)) if path.suffix.lower() in {".tif", ".tiff"} else None
