"""LiTS, liver tumours in CT: `volume-<n>.nii` and `segmentation-<n>.nii`, in one folder or in several.

Bilic et al., The Liver Tumor Segmentation Benchmark, Medical Image Analysis 84:102680 (2023).
"""

import re
from pathlib import Path

from client.data.layouts.base import Evidence, Kind, Part, Sorted
from client.data.layouts.layout import Layout
from client.data.layouts.tree import Tree, stem

SCAN = re.compile(r"(?i)(?P<what>test-volume|volume|segmentation)-(?P<number>\d+)")


class Lits(Layout):
    """A case is called by its image: `volume-12`; the images of the test set have no label."""

    name = "lits"
    wants = "volume-<n>.nii and segmentation-<n>.nii"

    def evidence(self, tree: Tree) -> Evidence:
        """Specific if one file is named as in this data set."""
        return Evidence.SPECIFIC if any(_match(path) for path in tree.readable) else Evidence.NONE

    def sort(self, tree: Tree) -> Sorted:
        """Each file by its own name, wherever it lies: copies spread them over folders."""
        parts = []
        for path in tree.readable:
            if match := _match(path):
                what = match["what"].lower()
                kind: Kind = "label" if what == "segmentation" else "image"
                test = "test-" if what.startswith("test") else ""
                parts.append(Part(f"{test}volume-{match['number']}", kind, path))
        return Sorted(parts)


def _match(path: Path) -> re.Match[str] | None:
    return SCAN.fullmatch(stem(path.name)) if path.name.lower().endswith((".nii", ".nii.gz")) else None
