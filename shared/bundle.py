"""The app bundle that Flower moves around, built from the installed code: the same code gives the same bytes.

A node never runs what arrives. It compares the bundle's hash with the one of its own installed version, and
then runs that. The bundle holds the Python files of server/, client/ and shared/, a pyproject.toml, and
nothing else.
Format: Flower App Bundle, a zip with a list of its files in .info/CONTENT (flwr.cli.build).
"""

import hashlib
import io
import zipfile
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from shared import __version__

PACKAGES = ("client", "server", "shared")
SETTING = "run"
"""The one key of the run configuration: which of the coordinator's runs this is."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
_PROJECT = f"""\
[project]
name = "wardround"
version = "{__version__}"
license = {{ text = "Apache-2.0" }}
dependencies = []

[tool.flwr.app]
publisher = "wardround"

[tool.flwr.app.config]
{SETTING} = ""

[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "client.app:app"
"""


@cache
def bundle() -> bytes:
    """Build the bundle of the installed version."""
    sources = {"pyproject.toml": _PROJECT.encode()}
    for package in PACKAGES:
        sources |= _python_files(files(package), package)
    return pack(sources)


@cache
def bundle_digest() -> str:
    """SHA-256 of the installed version's bundle, in hexadecimal; Flower calls it the FAB hash."""
    return hashlib.sha256(bundle()).hexdigest()


def pack(sources: dict[str, bytes]) -> bytes:
    """Zip `sources` by name so that equal sources give equal bytes on every machine."""
    content = "\n".join(
        f"{name},{hashlib.sha256(data).hexdigest()},{len(data) * 8}" for name, data in sorted(sources.items())
    )
    buffer = io.BytesIO()
    # Stored, not deflated: zlib versions differ in their output, and the hash must not.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in [*sorted(sources.items()), (".info/CONTENT", content.encode())]:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # the default is the machine's own
            archive.writestr(entry, data)
    return buffer.getvalue()


def _python_files(folder: Traversable, prefix: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for entry in folder.iterdir():
        name = f"{prefix}/{entry.name}"
        if entry.is_dir():
            found |= _python_files(entry, name)
        elif entry.name.endswith(".py"):
            found[name] = entry.read_bytes()
    return found
