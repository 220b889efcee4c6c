"""What every data set layout does: name the cases of a folder, and name those it cannot use.

A layout is one file: it says how much speaks for it (`evidence`) and which file is what (`sort`). Matching,
missing and surplus files are the same for all and stand in pairing.py.
"""

from abc import ABC, abstractmethod
from pathlib import Path

from client.data.layouts.base import Evidence, LabelKind, Listed, Skipped, Sorted
from client.data.layouts.pairing import assembled
from client.data.layouts.tree import Tree


class Layout(ABC):
    """One way to arrange a data set in a folder."""

    name: str
    wants: str
    """What `evidence` looks for, in words."""
    label_kind: LabelKind = "volume"
    patients_by = "the names of the files"
    """What `Listed.patient` comes from, in words, where the layout gives it."""
    shows_names = True
    """Whether names of files may stand in `case`; they may not where they tend to be patients' names."""

    @abstractmethod
    def evidence(self, tree: Tree) -> Evidence:
        """How much speaks for this layout; reads small descriptions at most, and first bytes of files."""

    @abstractmethod
    def sort(self, tree: Tree) -> Sorted:
        """Say of each file which part of which case it is.

        Raises
        ------
        DataError
            A description of the data set (`dataset.json`, `manifest.csv`) that cannot be used.
        """

    def recognises(self, folder: Path) -> bool:
        """Whether anything speaks for this layout; `layouts.find` compares all."""
        return self.evidence(Tree.of(folder)) > Evidence.NONE

    def list_cases(self, folder: Path, *, require_label: bool = True) -> tuple[list[Listed], list[Skipped]]:
        """Every case under `folder`, usable or not, each list sorted by case.

        With `require_label` an image without a label is skipped as ``label_missing``; without it such an
        image is listed with `label` None. Every file that looks like a scan is in a listed case or named by
        the `detail` of a skipped one: ``image_missing``, ``channel_missing``, ``duplicate_case``,
        ``outside_folder`` (a link), ``unsupported_format``, ``header_missing`` (voxels alone),
        ``not_in_layout``.
        """
        tree = Tree.of(folder)
        return assembled(
            tree,
            self.sort(tree),
            layout=self.name,
            label_kind=self.label_kind,
            shows_names=self.shows_names,
            require_label=require_label,
        )
