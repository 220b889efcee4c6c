"""Where a file that a browser names may lie: always inside its upload."""

import re
from pathlib import PurePosixPath
from urllib.parse import unquote

from shared.errors import DataError

DEEPEST = 16
LONGEST_NAME = 1024
LONGEST_PART = 255  # bytes of one name on common file systems
LONGEST_SHOWN = 100


def place_of(name: str) -> PurePosixPath:
    """Return the place inside its upload of a file called `name`, such as ``ct/001.dcm``.

    Raises
    ------
    DataError
        A name that leads out of the folder, that no file can have, or that is too long or too deep.
    """
    plain = name.replace("\\", "/")  # as browsers on Windows may have it
    place = PurePosixPath(plain)
    if place.is_absolute() or ".." in place.parts or re.match(r"[A-Za-z]:", plain):
        raise _refused(name, "it leads out of the folder")
    if not place.parts or not plain.isprintable():
        raise _refused(name, "it is no name for a file")
    if len(place.parts) > DEEPEST:
        raise _refused(name, f"it lies {len(place.parts)} folders deep, expected at most {DEEPEST}")
    try:
        longest = max(len(part.encode()) for part in place.parts)
    except UnicodeEncodeError as error:
        raise _refused(name, "it is no name for a file") from error
    if len(plain) > LONGEST_NAME or longest > LONGEST_PART:
        raise _refused(name, f"it is too long, expected at most {LONGEST_PART} bytes a name")
    return place


def decoded(header: str) -> str:
    """Name of a file from a header, where it stands percent-encoded, UTF-8; DataError for anything else."""
    try:
        return unquote(header, errors="strict")
    except UnicodeDecodeError as error:
        raise _refused(header, "it is not UTF-8, percent-encoded") from error


def shown(name: str) -> str:
    """Return a name as it may be shown: printable and not too long."""
    text = "".join(sign if sign.isprintable() else "?" for sign in name)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."


def _refused(name: str, why: str) -> DataError:
    return DataError(
        f"the name {shown(name)!r} is refused: {why}. Rename the file or folder and send it again."
    )
