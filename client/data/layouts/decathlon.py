"""The Medical Segmentation Decathlon: `imagesTr/`, `labelsTr/` and a `dataset.json` that lists them.

Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 13:4128 (2022).
"""

import json
from pathlib import Path, PurePosixPath
from typing import Any

from client.data.layouts.base import Listed, Skipped, by_case, other_scans, pair, scans, stem
from shared.errors import DataError


class Decathlon:
    """The list in `dataset.json`, where there is one, and any further files in the two folders."""

    name = "decathlon"
    wants = "a file dataset.json or a folder imagesTr/ (and labelsTr/)"

    def recognises(self, folder: Path) -> bool:
        """Whether there is a `dataset.json` or an `imagesTr/` folder."""
        return (folder / "dataset.json").is_file() or (folder / "imagesTr").is_dir()

    def list_cases(self, folder: Path, *, require_label: bool = True) -> tuple[list[Listed], list[Skipped]]:
        """Cases of the list and of the folders; see `Layout.list_cases`.

        Raises
        ------
        DataError
            `dataset.json` is not a JSON object whose `training` is a list.
        """
        entries, refused = _training_list(folder)
        claimed = {path for pair_of_paths in entries for path in pair_of_paths if path is not None}
        images = by_case(path for path in scans(folder / "imagesTr") if path not in claimed)
        labels = by_case(path for path in scans(folder / "labelsTr") if path not in claimed)
        cases = images.keys() | labels.keys() | {stem(image.name) for image, _ in entries}
        for image, label in dict.fromkeys(entries):
            case = stem(image.name)
            if image.exists():
                images.setdefault(case, []).append(image)
            if label is not None and label.exists():
                labels.setdefault(case, []).append(label)
        listed, skipped = pair(cases, images, labels, require_label=require_label)
        skipped += [*refused, *other_scans(folder / "imagesTr")]
        return listed, sorted(skipped, key=lambda skip: skip.case)


def _training_list(folder: Path) -> tuple[list[tuple[Path, Path | None]], list[Skipped]]:
    """(image, label) of each entry of `training`, and the entries that name no usable file."""
    path = folder / "dataset.json"
    if not path.is_file():
        return [], []
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error}). Correct it or remove it.") from error
    training = description.get("training", []) if isinstance(description, dict) else None
    if not isinstance(training, list):
        raise DataError(f"{path} must be an object whose `training` is a list of images and labels.")
    entries: list[tuple[Path, Path | None]] = []
    refused: list[Skipped] = []
    for number, entry in enumerate(training):
        image = _inside(folder, entry.get("image") if isinstance(entry, dict) else None)
        label = _inside(folder, entry.get("label") if isinstance(entry, dict) else None)
        if image is None:
            detail = f"{path}: entry {number} of `training` names no image inside {folder}, found {entry!r}"
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
