"""BIDS: `sub-01[/ses-02]/anat/sub-01_T1w.nii.gz`, and masks of the same subject under `derivatives/`.

Gorgolewski et al., The brain imaging data structure, Scientific Data 3:160044 (2016). A case is one session
of one subject; its channels are what distinguishes its files: `T1w`, `run-2_T1w`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from client.data.layouts.base import Evidence, Kind, Part, Sorted
from client.data.layouts.layout import Layout
from client.data.layouts.tree import Tree, stem

NAME = re.compile(r"(?P<subject>sub-[A-Za-z0-9]+)(?:_(?P<session>ses-[A-Za-z0-9]+))?_(?P<rest>.+)")
MASKS = frozenset({"mask", "dseg", "seg", "label", "labels", "roi"})
IMAGES = "anat"
DERIVATIVES = "derivatives"


@dataclass(frozen=True)
class _File:
    case: str
    subject: str
    rest: str
    kind: Kind


class Bids(Layout):
    """Anatomical images with one mask a session; `patient` is the subject."""

    name = "bids"
    patients_by = "the subject"
    wants = "sub-<subject>/anat/sub-<subject>_<suffix>.nii.gz, masks in derivatives/"

    def evidence(self, tree: Tree) -> Evidence:
        """Specific if one image of a subject lies in the folder `anat` of that subject."""
        found = (_file(tree, path) for path in tree.readable)
        return Evidence.SPECIFIC if any(f and f.kind == "image" for f in found) else Evidence.NONE

    def sort(self, tree: Tree) -> Sorted:
        """Images of `anat`, masks by their suffix; processed images in `derivatives` belong to no case."""
        found = ((path, _file(tree, path)) for path in tree.readable)
        return Sorted([Part(f.case, f.kind, path, f.rest, f.subject) for path, f in found if f])


def _file(tree: Tree, path: Path) -> _File | None:
    folders = path.relative_to(tree.folder).parts[:-1]
    match = NAME.fullmatch(stem(path.name))
    if not match or match["subject"] not in folders or not path.name.lower().endswith((".nii", ".nii.gz")):
        return None
    case = "_".join(part for part in (match["subject"], match["session"]) if part)
    derived = DERIVATIVES in folders
    words = match["rest"].lower().split("_")
    if words[-1] in MASKS or (derived and any(word.startswith("label-") for word in words)):
        return _File(case, match["subject"], match["rest"], "label")
    if derived or folders[-1] != IMAGES:
        return None
    return _File(case, match["subject"], match["rest"], "image")
