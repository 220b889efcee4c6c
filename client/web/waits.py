"""What the order saves at this site: `wardround site waiting` in a process of its own, its answer kept."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock, Thread
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from client.web.aside import Answer, answer_of
from shared.config import Config
from shared.files import private_folder, write_atomically

_log = logging.getLogger("wardround.pages")


def _blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


Blank = BeforeValidator(_blank)
Share = Annotated[float | None, Field(ge=0, le=1), Blank]


class Typed(Config):
    """What a person typed; None is left to the site's own records, or assumed."""

    readers: Annotated[int | None, Field(ge=1, le=1000), Blank] = None
    read_minutes: Annotated[float | None, Field(gt=0, le=1440), Blank] = None
    hours: Annotated[str | None, Field(max_length=200), Blank] = None
    prevalence: Share = None
    sensitivity: Share = None
    specificity: Share = None

    def arguments(self) -> list[str]:
        """Return the options of the command."""
        given = self.model_dump(exclude_none=True)
        return [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]


@dataclass(frozen=True)
class Kept:
    """The last answer."""

    when: datetime
    typed: Mapping[str, Any]
    answer: Answer


class Waits:
    """One site's analysis of waiting times."""

    def __init__(self, site_file: Path, path: Path) -> None:
        self._site_file = site_file
        self._path = path
        self._lock = Lock()
        self.running = False

    def begin(self, typed: Typed) -> None:
        """Work it out in a process of its own, unless that is under way."""
        with self._lock:
            if self.running:
                return
            self.running = True
        Thread(target=self._work, args=(typed,), daemon=True).start()

    def last(self) -> Kept | None:
        """Return the last answer; None before there was one."""
        try:
            values = json.loads(self._path.read_bytes())
            answer = Answer(values["values"], values["error"])
            return Kept(datetime.fromisoformat(values["when"]), values["typed"], answer)
        except (OSError, ValueError, KeyError):
            return None

    def _work(self, typed: Typed) -> None:
        try:
            answer = answer_of("waiting", str(self._site_file), *typed.arguments())
            values = {
                "when": datetime.now(UTC).isoformat(),
                "typed": typed.model_dump(),
                "values": answer.values,
                "error": answer.error,
            }
            private_folder(self._path.parent)
            with write_atomically(self._path, private=True) as path:
                path.write_text(json.dumps(values), encoding="utf-8")
        except Exception:  # a thread of its own: the page shows the answer before
            _log.exception("the waiting times could not be worked out")
        finally:
            self.running = False
