"""Names that say nothing outside the site: HMAC-SHA256 of the name under a key that stays here.

Equal names have equal pseudonyms under one key, whatever else is imported. 64 bits are kept: among a hundred
thousand names two share one with a probability below 1e-9, and then the import is refused.
"""

import csv
import hmac
import secrets
import stat
from io import StringIO
from pathlib import Path
from typing import Literal, Self, get_args

from shared.errors import ConfigError, DataError
from shared.files import write_atomically

KEY_BYTES = 32
DIGITS = 16
OPEN_TO_OTHERS = 0o077
Kind = Literal["case", "patient", "file"]


class Pseudonyms:
    """The names given so far, under one key; `table` is where they are written, beside the key."""

    def __init__(self, key: bytes, table: Path) -> None:
        self._key = key
        self.table = table
        self._names: dict[str, str] = {}
        self._places: dict[str, str] = {}

    @classmethod
    def of_key_file(cls, path: Path, table: Path) -> Self:
        """Read the key, or make one at first; only its owner may read the file.

        Raises
        ------
        ConfigError
            The file is no key, cannot be read, or is open to others.
        """
        try:
            if not path.exists():
                with write_atomically(path, private=True) as temporary:
                    temporary.write_text(secrets.token_hex(KEY_BYTES) + "\n", encoding="ascii")
            if (mode := stat.S_IMODE(path.stat().st_mode)) & OPEN_TO_OTHERS:
                raise ConfigError(f"the key {path} is open to others (mode {mode:o}). chmod 600 {path}")
            key = bytes.fromhex(path.read_text(encoding="ascii"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"the key {path} cannot be used: {error}. Give the one made by an import."
            ) from error
        if len(key) != KEY_BYTES:
            raise ConfigError(f"the key {path} has {len(key)} bytes, expected {KEY_BYTES}.")
        names = cls(key, table)
        names._remember()
        return names

    @property
    def fingerprint(self) -> str:
        """Tells whether two imports used one key, and nothing about the key."""
        return self._digest("fingerprint", "")

    def of(self, kind: Kind, name: str, place: str = "") -> str:
        """Return the pseudonym of a name; DataError if another name has the same one.

        `place` is where its files lie, for the table: the name of a DICOM series says nothing to a person.
        """
        pseudonym = f"{kind}-{self._digest(kind, name)}"
        if self._names.setdefault(pseudonym, name) != name:
            raise DataError(f"two names of the kind {kind} share the pseudonym {pseudonym}. Use a new key.")
        if place:
            self._places[pseudonym] = place
        return pseudonym

    def name_of(self, pseudonym: str) -> str:
        """Return what a pseudonym stands for; itself if nobody knows."""
        return self._names.get(pseudonym, pseudonym)

    def place_of(self, pseudonym: str) -> str | None:
        """Return where the files of a name lay when it was last given; None if nobody knows."""
        return self._places.get(pseudonym) or None

    def write_table(self) -> None:
        """Write which name each pseudonym stands for, those of earlier imports too; secret."""
        with (
            write_atomically(self.table, private=True) as temporary,
            temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("pseudonym", "name", "place"))
            writer.writerows(
                (key, self._names[key], self._places.get(key, "")) for key in sorted(self._names)
            )

    def _remember(self) -> None:
        """Read the names of earlier imports under this key: of cases that were removed since, too."""
        if not self.table.exists():
            return
        text = self.table.read_text(encoding="utf-8", errors="surrogateescape")
        for pseudonym, name, place in (
            row for row in csv.reader(StringIO(text, newline="")) if len(row) == 3
        ):
            kind = next((kind for kind in get_args(Kind) if pseudonym.startswith(f"{kind}-")), None)
            if kind is not None and pseudonym == f"{kind}-{self._digest(kind, name)}":
                self.of(kind, name, place)

    def _digest(self, kind: str, name: str) -> str:
        text = f"{kind}\0{name}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._key, text, "sha256").hex()[:DIGITS]
