"""What an import did, case by case: `import.json`, and the journal from which one that was killed goes on.

Neither holds a name, a path, a date or anything else of a source but its SHA-256.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from client.data.layouts.base import LabelKind, Listed
from shared.config import Config
from shared.errors import ConfigError, DataError
from shared.files import write_atomically

FORMAT: Literal["wardround.import/1"] = "wardround.import/1"
REPORT = "import.json"
JOURNAL = ".import.jsonl"


class Steps(Config):
    """What was done to one volume. `rounded`: the values of a label were whole numbers but for 1e-3."""

    read: str
    turned_from: str
    turned_to: Literal["RAS"] = "RAS"
    rounded: bool = False
    stored: str
    dtype: str
    scaling: Literal["none"] = "none"
    header: Literal["clean"] = "clean"
    gzip_level: int


class File(Config):
    """One file of a case: its digest, that of its voxels, and how it came about (points: no steps)."""

    kind: Literal["image", "label", "region"]
    channel: str | None = None
    sha256: str
    voxels: str | None = None
    steps: Steps | None = None


class Record(Config):
    """One case. `inputs` is a digest of all that decides what it becomes; `files` are by path in the folder.

    `sources` are the SHA-256 of the files that it was read from, by channel, `label` and `region`.
    """

    label_kind: LabelKind
    patient: str | None = None
    inputs: str
    sources: Mapping[str, tuple[str, ...]]
    files: Mapping[str, File]

    def listed(self, case: str, folder: Path) -> Listed:
        """Return the case as the manifest has it."""
        by_kind = {file.kind: folder / path for path, file in self.files.items()}
        return Listed(
            case=case,
            images={
                file.channel: folder / path
                for path, file in self.files.items()
                if file.kind == "image" and file.channel
            },
            label=by_kind.get("label"),
            label_kind=self.label_kind,
            patient=self.patient,
            region=by_kind.get("region"),
        )


class LeftOut(Config):
    """A case or a file, by its pseudonym, and why it was not imported."""

    name: str
    reason: str


class TableReport(Config):
    """What became of the patients table."""

    rows: int
    rows_left_out: int
    columns: tuple[str, ...]
    columns_left_out: int


class Report(Config):
    """The content of `import.json`."""

    format: Literal["wardround.import/1"] = FORMAT
    version: str
    layout: str
    key: str
    cases: Mapping[str, Record]
    left_out: tuple[LeftOut, ...]
    same_pixels: tuple[tuple[str, ...], ...]
    patients: TableReport | None = None

    def write(self, folder: Path) -> None:
        """Put it into the folder in one step."""
        text = json.dumps(self.model_dump(mode="json", exclude_none=True), indent=1) + "\n"
        with write_atomically(folder / REPORT) as path:
            path.write_text(text, encoding="utf-8")


class Journal:
    """The cases done so far in a folder, by pseudonym, whether its last import ended or was killed.

    The first line of the file is the key's fingerprint, each further one a case.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._path = folder / JOURNAL
        self.before = _report(folder / REPORT)
        self.known: dict[str, Record] = dict(self.before.cases) if self.before else {}
        keys = {self.before.key} if self.before else set()
        for line in self._lines():
            keys |= {line["key"]} if "key" in line else set()
            if "case" in line:
                self.known[line["case"]] = Record.parse(line["record"], str(self._path))
        if keys - {key}:
            raise ConfigError(
                f"{folder} was imported with another key ({', '.join(sorted(keys))}, this one is {key}). "
                "Give that one with --key, or another folder."
            )
        if not self._path.exists():
            with write_atomically(self._path) as path:
                path.write_text(json.dumps({"key": key}) + "\n", encoding="utf-8")

    def add(self, case: str, record: Record) -> None:
        """Note that all files of a case are written."""
        line = json.dumps({"case": case, "record": record.model_dump(mode="json", exclude_none=True)})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")  # a line of its own, even after one that was cut off

    def close(self) -> None:
        """Forget it: `import.json` says all."""
        self._path.unlink(missing_ok=True)

    def _lines(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        lines = []
        for text in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue  # cut off when the import was killed: the case is done again
            if isinstance(line, dict):
                lines.append(line)
        return lines


def _report(path: Path) -> Report | None:
    if not path.exists():
        return None
    try:
        return Report.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{path} cannot be read: {error}. Import into another folder.") from error
