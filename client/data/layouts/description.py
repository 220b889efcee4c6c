"""`dataset.json` and the numbered channels: what tells the Decathlon from nnU-Net, both with `imagesTr/`."""

import json
import re
from typing import Any

from client.data.layouts.tree import Tree, stem
from shared.errors import DataError

DESCRIPTION = "dataset.json"
LARGEST_DESCRIPTION = 2**24  # bytes
NUMBERED = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


def described(tree: Tree) -> dict[str, Any]:
    """Return what `dataset.json` says; nothing if there is none.

    Raises
    ------
    DataError
        It is no JSON object, or too large.
    """
    path = tree.folder / DESCRIPTION
    if path not in tree or not path.is_file():
        return {}
    if path.stat().st_size > LARGEST_DESCRIPTION:
        raise DataError(f"{path} is larger than {LARGEST_DESCRIPTION} bytes, expected a short description.")
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error}). Correct it or remove it.") from error
    if not isinstance(description, dict):
        raise DataError(f"{path} must be an object whose `training` is a list of images and labels.")
    return description


def channel_names(tree: Tree) -> dict[int, str]:
    """Return the names in `channel_names`, in its first version `modality`, by number and in that order.

    Raises
    ------
    DataError
        They are not names by number, or two are equal.
    """
    description = described(tree)
    found = description.get("channel_names", description.get("modality", {}))
    where = f"{tree.folder / DESCRIPTION}: `channel_names`"
    if not isinstance(found, dict) or not all(str(key).isdecimal() for key in found):
        raise DataError(f"{where} must map numbers to names, found {found!r}.")
    names = {int(key): str(found[key]) for key in sorted(found, key=int)}
    if len(set(names.values())) < len(names):
        raise DataError(f"{where} gives two channels one name: {', '.join(names.values())}. Rename one.")
    return names


def numbered(tree: Tree) -> bool:
    """Whether the images end in `_0000`, `_0001`, ... and the labels, or `channel_names`, bear that out."""
    names = [NUMBERED.fullmatch(stem(path.name)) for path in tree.within("imagestr")]
    cases = {match["case"] for match in names if match}
    if 2 * sum(match is not None for match in names) <= len(names):
        return False
    try:
        if "channel_names" in described(tree):
            return True
    except DataError:
        return False
    return bool(cases & {stem(path.name) for path in tree.within("labelstr")})
