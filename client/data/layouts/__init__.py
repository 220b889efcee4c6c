"""One data set layout a file; `layouts.find` picks the one that most speaks for.

The rule: every layout says how much speaks for it (`base.Evidence`). Names of files, or a description, that
only one layout has (specific) outweigh names of folders that several have (general). Two layouts of the same
weight make the folder ambiguous: the order of LAYOUTS decides nothing. The Decathlon and nnU-Net share
`imagesTr/`: images called `<case>_0000` with labels called `<case>`, or with `channel_names`, are nnU-Net's;
images that `training` in `dataset.json` lists are the Decathlon's.

To add a layout: write a class that satisfies `base.Layout`, add it to LAYOUTS, and give the contract suite in
tests/client/data/layouts a tree of it.
"""

from pathlib import Path

from client.data.layouts.base import Evidence
from client.data.layouts.bids import Bids
from client.data.layouts.brats2015 import Brats2015
from client.data.layouts.brats_nifti import BratsNifti
from client.data.layouts.decathlon import Decathlon
from client.data.layouts.dicom_series import DicomSeries
from client.data.layouts.folders import Folders
from client.data.layouts.layout import Layout
from client.data.layouts.lits import Lits
from client.data.layouts.manifest import Manifest
from client.data.layouts.nnunet_raw import NnunetRaw
from client.data.layouts.tree import Tree
from client.data.layouts.ucsb import Ucsb
from client.data.layouts.vessel12 import Vessel12
from shared.errors import DataError

LAYOUTS: tuple[Layout, ...] = (
    Bids(),
    Brats2015(),
    BratsNifti(),
    Decathlon(),
    DicomSeries(),
    Folders(),
    Lits(),
    Manifest(),
    NnunetRaw(),
    Ucsb(),
    Vessel12(),
)


def find(folder: Path, name: str | None) -> Layout:
    """Return the layout called `name`, or with None the one that most speaks for.

    Raises
    ------
    DataError
        No such folder, no layout of that name, nothing in the folder that was looked for, or two layouts
        that are equally likely.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder. Give the folder that holds the scans.")
    chosen = [layout for layout in LAYOUTS if name in (None, layout.name)]
    if not chosen:
        known = ", ".join(layout.name for layout in LAYOUTS)
        raise DataError(f"no layout is called {name!r}. Choose one of {known}, or leave it out.")
    tree = Tree.of(folder)
    weights = {layout: layout.evidence(tree) for layout in chosen}
    heaviest = max(weights.values())
    likely = [layout for layout, weight in weights.items() if weight == heaviest > Evidence.NONE]
    if len(likely) > 1:
        raise DataError(
            f"{folder} has more than one layout: "
            + "; ".join(f"{layout.name} ({layout.wants})" for layout in likely)
            + ". Say which: `layout:` in site.yaml, or --layout."
        )
    if likely:
        return likely[0]
    if name is not None and chosen[0].sort(tree).parts:
        return chosen[0]  # a person says so, and there are files for it
    looked_for = "; ".join(f"{layout.name}: {layout.wants}" for layout in chosen)
    found = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
    raise DataError(f"{folder} has none of the layouts looked for ({looked_for}). Found in it: {found}.")
