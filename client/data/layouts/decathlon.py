"""The Medical Segmentation Decathlon: `imagesTr/`, `labelsTr/` and a `dataset.json` that lists them.

Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13:4128 (2022).
"""

from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from client.data.layouts.base import Evidence, Part, Skipped, Sorted
from client.data.layouts.description import DESCRIPTION, channel_names, described
from client.data.layouts.layout import Layout
from client.data.layouts.tree import Tree, stem
from shared.errors import DataError


class Decathlon(Layout):
    """The list in `dataset.json`, where there is one, and any further files in the two folders."""

    name = "decathlon"
    wants = "a file dataset.json or a folder imagesTr/ (and labelsTr/)"

    def evidence(self, tree: Tree) -> Evidence:
        """Specific if `dataset.json` lists an image that is there; general if there is it or `imagesTr/`."""
        try:
            entries, _ = _training_list(tree)
        except DataError:
            return Evidence.GENERAL
        if any(image in tree for image, _ in entries):
            return Evidence.SPECIFIC
        here = tree.folder / DESCRIPTION in tree or tree.within("imagestr") or tree.within("labelstr")
        return Evidence.GENERAL if here else Evidence.NONE

    def sort(self, tree: Tree) -> Sorted:
        """Entries of the list, then the files of the folders that it does not name."""
        entries, refused = _training_list(tree)
        claimed = {path for entry in entries for path in entry if path is not None}
        parts: list[Part] = []
        for image, label in dict.fromkeys(entries):
            case = stem(image.name)
            there = [Part(case, "image", image)] if image in tree else []
            there += [Part(case, "label", label)] if label is not None and label in tree else []
            parts += there
            if not there:
                detail = f"{tree.folder / DESCRIPTION} lists {image}, which is not there (nor a label)."
                refused.append(Skipped(case, "image_missing", detail))
        parts += [Part(stem(p.name), "image", p) for p in tree.within("imagestr") if p not in claimed]
        parts += [Part(stem(p.name), "label", p) for p in tree.within("labelstr") if p not in claimed]
        named = {part.case for part in parts}
        left = [skip for skip in refused if skip.case not in named]
        names = tuple(channel_names(tree).values())
        parts = [replace(part, components=names) if part.kind == "image" else part for part in parts]
        return Sorted(parts, left)


def _training_list(tree: Tree) -> tuple[list[tuple[Path, Path | None]], list[Skipped]]:
    """(image, label) of each entry of `training`, and the entries that name no path inside the folder."""
    path = tree.folder / DESCRIPTION
    training = described(tree).get("training", [])
    if not isinstance(training, list):
        raise DataError(f"{path} must be an object whose `training` is a list of images and labels.")
    entries: list[tuple[Path, Path | None]] = []
    refused: list[Skipped] = []
    for number, entry in enumerate(training):
        image = _inside(tree.folder, entry.get("image") if isinstance(entry, dict) else None)
        label = _inside(tree.folder, entry.get("label") if isinstance(entry, dict) else None)
        if image is None:
            detail = (
                f"{path}: entry {number} of `training` names no image inside {tree.folder}, found {entry!r}"
            )
            refused.append(Skipped(f"training[{number}]", "image_missing", detail))
        else:
            entries.append((image, label))
    return entries, refused


def _inside(folder: Path, name: Any) -> Path | None:
    """`folder/name`, or None for what is not a relative path that stays inside `folder`."""
    if not isinstance(name, str) or not name or "\0" in name:
        return None
    relative = PurePosixPath(name)
    return None if relative.is_absolute() or ".." in relative.parts else folder / relative
