"""VESSEL12: `Scans/VESSEL12_01.mhd`, `Lungmasks/VESSEL12_01.mhd`, `Annotations/VESSEL12_21_Annotations.csv`.

Rudyanto et al., Comparing algorithms for automated vessel segmentation in computed tomography scans of the
lung, Medical Image Analysis 18:1217 (2014). There is no dense label of the vessels: an annotation is a CSV of
points x, y, z, label, and a score counts within the lung mask (`region`).
"""

import re
from pathlib import Path

from client.data.layouts.base import Evidence, LabelKind, Part, Sorted
from client.data.layouts.layout import Layout
from client.data.layouts.tree import Tree, stem

CASE = re.compile(r"(?i)VESSEL12_\d+")
POINTS = re.compile(r"(?i)(?P<case>VESSEL12_\d+)_Annotations\.csv")
MASKS = "lungmask"


class Vessel12(Layout):
    """Scans and lung masks have the same names and lie in different folders."""

    name = "vessel12"
    wants = "VESSEL12_<n>.mhd, also in a folder Lungmasks/, and VESSEL12_<n>_Annotations.csv"
    label_kind: LabelKind = "points"

    def evidence(self, tree: Tree) -> Evidence:
        """Specific if one scan is named as in this data set."""
        here = any(CASE.fullmatch(stem(path.name)) for path in tree.readable)
        return Evidence.SPECIFIC if here else Evidence.NONE

    def sort(self, tree: Tree) -> Sorted:
        """Each scan, mask and table of points by its name; what lies in a folder of lung masks is one."""
        scans = [
            Part(stem(path.name), "region" if _among_masks(tree, path) else "image", path)
            for path in tree.readable
            if CASE.fullmatch(stem(path.name))
        ]
        tables = ((path, POINTS.fullmatch(path.name)) for path in tree.files)
        return Sorted([*scans, *(Part(match["case"], "label", path) for path, match in tables if match)])


def _among_masks(tree: Tree, path: Path) -> bool:
    return any(MASKS in name.lower() for name in path.relative_to(tree.folder).parts[:-1])
