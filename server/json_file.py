"""What a run writes as JSON: one model a file, written in one step."""

import json
from pathlib import Path

from shared.config import Config
from shared.files import write_atomically


class JsonFile(Config):
    """A model that is a file of its own."""

    def write(self, path: Path) -> None:
        """Write JSON to `path` in one step: a reader sees the old file or the whole new one."""
        text = json.dumps(self.model_dump(mode="json", by_alias=True), indent=1, allow_nan=False)
        with write_atomically(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
