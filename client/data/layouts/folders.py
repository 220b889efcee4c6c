"""Plain folders of images and of labels whose files match by name.

As anybody arranges a data set, and as copies of the hippocampus set have it: originals and label volumes in
Analyze or NIfTI.
"""

import re

from client.data.layouts.base import Evidence, Part, Sorted
from client.data.layouts.layout import Layout
from client.data.layouts.tree import Tree, stem

IMAGES = ("images", "image", "imgs", "originals", "original", "volumes")
LABELS = (
    "labels",
    "label",
    "masks",
    "mask",
    "segmentations",
    "segmentation",
    "label volumes",
    "label_volumes",
    "labelvolumes",
)
END_OF_LABEL = re.compile(r"(?i)[_-](hipp[_-])?(labels?|masks?|segmentations?|seg|gt)$")
END_OF_IMAGE = re.compile(r"(?i)[_-](images?|img|originals?|orig)$")


class Folders(Layout):
    """`images/<case>.*` with `labels/<case>.*`, where `<case>` may end in a word such as `_label`."""

    name = "folders"
    wants = "a folder images/ or originals/ (and labels/ or masks/)"

    def evidence(self, tree: Tree) -> Evidence:
        """General if a folder of images or of labels holds scans, or a folder of images is there at all."""
        top = {path.name.casefold() for path in tree.folder.iterdir() if path.is_dir()}
        here = tree.within(*IMAGES) or top & set(IMAGES)
        return Evidence.GENERAL if here else Evidence.NONE

    def sort(self, tree: Tree) -> Sorted:
        """Labels go to the image of the same name, or else to the one of the same name without its ending."""
        images, labels = tree.within(*IMAGES), tree.within(*LABELS)
        cases = {stem(path.name) for path in images}
        short = {END_OF_IMAGE.sub("", case): case for case in sorted(cases, reverse=True)}
        parts = [Part(stem(path.name), "image", path) for path in images]
        for path in labels:
            name = stem(path.name)
            bare = END_OF_LABEL.sub("", name)
            case = name if name in cases else short.get(bare, name)
            parts.append(Part(case, "label", path))
        return Sorted(parts)
