"""Which files a scan was read from, kept beside its result: the pages show the scan itself from them.

It holds paths, which may name a patient, and stays in the private folder of the result.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from client.data.layouts.base import Listed
from client.data.limits import Limits
from client.data.preparing.channels import files_of, read_channel
from client.data.store import files_digest
from client.data.volumes import Volume
from shared.config import Config
from shared.errors import CaseError, ConfigError
from shared.files import write_atomically

SOURCE = "source.json"


class SourceFiles(Config):
    """The files of one scan, as the network read them."""

    schema_version: Literal["wardround.source/1"] = Field(default="wardround.source/1", alias="schema")
    case: str
    channels: tuple[str, ...] = Field(min_length=1, description="of the study, in its order")
    images: dict[str, Path] = Field(description="files by their own channel names, absolute")
    components: tuple[str, ...] = Field(default=(), description="channels inside one file, where named")
    sha256: dict[str, str] = Field(description="of each file or folder of `images` that was read")

    @classmethod
    def of(cls, item: Listed, channels: Sequence[str], limits: Limits) -> Self:
        """Read the files' digests.

        Raises
        ------
        CaseError
            `channel_missing`, or `unreadable`.
        """
        read = set(files_of(item, channels).values())
        try:
            digests = {path: files_digest(path, limits).hex() for path in sorted(read)}
        except OSError as error:
            raise CaseError("unreadable", f"{item.case} cannot be read: {error}. Export it again.") from error
        used = {name: path for name, path in item.images.items() if path in read}
        return cls(
            schema="wardround.source/1",
            case=item.case,
            channels=tuple(channels),
            images={name: path.absolute() for name, path in used.items()},
            components=item.components,
            sha256={name: digests[path] for name, path in used.items()},
        )

    def write(self, path: Path) -> None:
        """Put it at `path` in one step, open to its owner only."""
        with write_atomically(path, private=True) as temporary:
            temporary.write_text(self.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote; raise ConfigError for anything else."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{path} does not tell where the scan lies: {error}. Predict it again."
            ) from error

    def volume(self, channel: str, limits: Limits) -> Volume:
        """Read one channel, (X, Y, Z) as it is stored, from the very files that the network read.

        Raises
        ------
        CaseError
            `moved` where they are gone, `changed` where they are others now; and as `formats.read`.
        """
        item = Listed(self.case, self.images, None, components=self.components)
        path = files_of(item, self.channels)[channel]
        if not path.exists():
            raise CaseError("moved", f"the files of the scan are no longer at {path}. Put them back there.")
        name = next(name for name, known in self.images.items() if known == path)
        try:
            changed = files_digest(path, limits).hex() != self.sha256[name]
        except OSError as error:
            raise CaseError("unreadable", f"{path} cannot be read: {error}. Export it again.") from error
        if changed:
            raise CaseError(
                "changed", f"the files at {path} are not those that the network read. Read the scan again."
            )
        return read_channel(item, self.channels, channel, limits)
