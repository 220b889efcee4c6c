"""Studies that are being written: one YAML file each in the coordinator's folder, faults and all."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from server.settings import Coordinator
from shared.config import faults_of, parse_yaml
from shared.errors import ConfigError
from shared.files import write_atomically
from shared.study import Name, Study

LONGEST = 100_000
"""Characters of a study; none comes near."""


@dataclass(frozen=True)
class Checked:
    """A text as a study, or what is wrong with it: pairs of a key and its fault."""

    study: Study | None
    faults: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Drafts:
    """The folder studies/ of a coordinator."""

    settings: Coordinator

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.settings.folder / "studies"

    def names(self) -> list[str]:
        """All of them, by name."""
        return sorted(path.stem for path in self.folder.glob("*.yaml") if _is_name(path.stem))

    def read(self, name: str) -> str | None:
        """Return the text of one; None where there is none."""
        path = self._path(name)
        return path.read_text(encoding="utf-8") if path.exists() else None

    def write(self, name: str, text: str) -> None:
        """Keep a text, whole or not at all; ConfigError for what cannot be a name, or is too long."""
        if len(text) > LONGEST:
            raise ConfigError(f"a study has at most {LONGEST:,} characters, found {len(text):,}.")
        with write_atomically(self._path(name)) as temporary:
            temporary.write_text(text.replace("\r\n", "\n"), encoding="utf-8")

    def drop(self, name: str) -> None:
        """Delete one; nothing where there is none."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        if not _is_name(name):
            raise ConfigError(
                f"{name!r} cannot be the name of a study: expected lower-case letters, digits, - and _."
            )
        return self.folder / f"{name}.yaml"


def check(text: str) -> Checked:
    """Read a text as a study, and list every fault at its key."""
    if len(text) > LONGEST:
        return Checked(None, [("(the whole)", f"at most {LONGEST:,} characters, found {len(text):,}")])
    try:
        values = parse_yaml(text, "the text")
    except ConfigError as error:
        return Checked(None, [("(the whole)", str(error))])
    try:
        return Checked(Study.model_validate(values))
    except ValidationError as error:
        pairs = (fault.split(": ", 1) for fault in faults_of(error))
        return Checked(None, [(key, rest) for key, rest in pairs])


def _is_name(name: str) -> bool:
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        return False
    return True
