"""nnU-Net's raw data: `imagesTr/<case>_0000.nii.gz` (a number a channel), `labelsTr/<case>.nii.gz`.

Isensee et al., nnU-Net, Nature Methods 18:203 (2021). `dataset.json` names the channels in `channel_names`,
in its first version in `modality`.
"""

from client.data.layouts.base import Evidence, Part, Sorted
from client.data.layouts.description import NUMBERED, channel_names, numbered
from client.data.layouts.layout import Layout
from client.data.layouts.tree import Tree, stem


class NnunetRaw(Layout):
    """Channels by number, named by `dataset.json`; without that, by their number."""

    name = "nnunet_raw"
    wants = "imagesTr/<case>_0000.* with labelsTr/<case>.* or channel_names in dataset.json"

    def evidence(self, tree: Tree) -> Evidence:
        """Specific if the images are numbered by channel; see `description.numbered`."""
        return Evidence.SPECIFIC if numbered(tree) else Evidence.NONE

    def sort(self, tree: Tree) -> Sorted:
        """Each image by its case and number; a file without a number is no part of a case."""
        images = {path: NUMBERED.fullmatch(stem(path.name)) for path in tree.within("imagestr")}
        numbers = {match["channel"] for match in images.values() if match}
        names = _names(tree) or {number: number for number in sorted(numbers)}
        parts = [
            Part(match["case"], "image", path, names[match["channel"]])
            for path, match in images.items()
            if match and match["channel"] in names
        ]
        parts += [Part(stem(path.name), "label", path) for path in tree.within("labelstr")]
        return Sorted(parts, channels=tuple(names.values()))


def _names(tree: Tree) -> dict[str, str]:
    """Channel name by its four digits, in order; nothing where `dataset.json` does not say."""
    return {f"{number:04}": name for number, name in channel_names(tree).items()}
