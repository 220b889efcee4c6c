"""statistics.json: what all sites together say of their scans, as frozen objects.

The rules are those of results.json (server/results.py): keys may be added, a meaning never changes.
"""

import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from server.json_file import JsonFile
from server.results import Event, Seconds, Status
from server.scores import Count
from shared.config import Config
from shared.described import Figures
from shared.errors import ConfigError
from shared.suggestions import Suggestion

FILE, PAGE = "statistics.json", "statistics.html"


class SiteAnswer(Config):
    """What became of one enrolled site's statistics; `unread` are cases that it could not read."""

    status: Status
    reason: str | None = None
    patients: Count = 0
    unread: Count = 0


class Statistics(JsonFile):
    """One run that asked for statistics. In JSON the version stands under the key ``schema``."""

    schema_version: Literal["wardround.statistics/1"] = Field(
        default="wardround.statistics/1", alias="schema"
    )
    study: dict[str, Any] = Field(description="the Study, whole, under which the sites answered")
    engine: str
    versions: dict[str, str]
    seconds: Seconds
    sites: dict[str, SiteAnswer]
    figures: Figures
    suggestions: tuple[Suggestion, ...]
    events: tuple[Event, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote; raise ConfigError for anything else."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read: {error}. Give a run's statistics.json.") from error
        return cls.parse(values, str(path))
