"""BraTS 2015: `HGG/<case>/VSD.Brain.XX.O.MR_Flair.<n>/*.mha`, four modalities and a label `OT`, also `LGG/`.

Menze et al., The Multimodal Brain Tumor Image Segmentation Benchmark, IEEE TMI 34:1993 (2015).
"""

import re
from pathlib import Path

from client.data.layouts.base import Evidence, Part, Sorted
from client.data.layouts.layout import Layout
from client.data.layouts.tree import Tree

# Named as the later years name them (brats_nifti.py), so that one study takes both.
CHANNELS = {"t1": "t1", "t1c": "t1ce", "t2": "t2", "flair": "flair"}
SCAN = re.compile(r"(?i)VSD\.Brain.*\.(?P<what>MR_(?:Flair|T1c|T1|T2)|OT)\.\d+\.mha")
GRADES = ("hgg", "lgg")
TIME_POINT = re.compile(r"(?P<patient>.+_pat_?\d+)_\d+")


class Brats2015(Layout):
    """A case is a folder; its name is kept apart by the grade, for both grades use the same names."""

    name = "brats2015"
    patients_by = "the names of the time points"
    wants = "VSD.Brain.*.MR_Flair.*.mha and the like, in a folder a case"

    def evidence(self, tree: Tree) -> Evidence:
        """Specific if one file is named as the archive of BraTS 2015 names them."""
        return Evidence.SPECIFIC if any(SCAN.fullmatch(p.name) for p in tree.readable) else Evidence.NONE

    def sort(self, tree: Tree) -> Sorted:
        """Each `.mha` by its own name, and its case by the folder that holds its folder."""
        parts = []
        for path in tree.readable:
            match = SCAN.fullmatch(path.name)
            case = _case(tree, path)
            if not match or case is None:
                continue
            time_point = TIME_POINT.fullmatch(case)
            patient = time_point["patient"] if time_point else None
            what = match["what"].lower()
            if what == "ot":
                parts.append(Part(case, "label", path, patient=patient))
            else:
                parts.append(Part(case, "image", path, CHANNELS[what.removeprefix("mr_")], patient))
        return Sorted(parts, channels=tuple(CHANNELS.values()))


def _case(tree: Tree, path: Path) -> str | None:
    """`HGG_<case>`; `<case>` where there is no grade. Some copies lack the folder of each modality."""
    folders = list(path.relative_to(tree.folder).parts[:-1])
    if folders and folders[-1].lower().startswith("vsd.brain"):
        folders.pop()
    if not folders:
        return None
    grade = next((name for name in folders[:-1] if name.lower() in GRADES), None)
    return f"{grade}_{folders[-1]}" if grade else folders[-1]
