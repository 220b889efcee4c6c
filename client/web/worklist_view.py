"""What the worklist page shows: a page of rows, counts, what the order saved, and whether it is still so."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlencode

from pydantic import Field

from client.web.hospital import Hospital
from client.worklist import OPEN, READ, READING, WAITING, Chosen, Page, Row
from client.worklist.choosing import NEWEST_READ, midnight
from client.worklist.drifting import drift_seen
from client.worklist.export import Listed
from client.worklist.fhir import WHY
from client.worklist.look import brought_up_to_date
from client.worklist.saved import Saved, saved
from shared.config import Config
from shared.database import utc_now
from shared.priority import Tier
from shared.web.visit import Visit

PAGE = 50
REASONS = 3
STATES = {"open": OPEN, "waiting": (WAITING,), "reading": (READING,), "read": (READ,)}
MODEL_FILES = ("model.safetensors", "calibration.json")


class Filter(Config):
    """Which scans are shown, as the address says it; it holds no name."""

    tier: Tier | Literal[""] = ""
    state: Literal["open", "waiting", "reading", "read"] = "open"
    mine: bool = False
    page: Annotated[int, Field(ge=1, le=1_000_000)] = 1

    def address(self, path: str = "/worklist", **changed: object) -> str:
        """Return the address of this filter, or of one that is like it."""
        values = {**self.own(), **changed}
        said = {name: value for name, value in values.items() if value != _DEFAULTS[name]}
        said |= {"mine": "true"} if said.get("mine") else {}
        return f"{path}?{urlencode(said)}" if said else path

    def own(self) -> dict[str, object]:
        """Return the filter alone, without what a polling page adds."""
        return {name: getattr(self, name) for name in Filter.model_fields}

    def chosen(self, reader: str, text: str) -> Chosen:
        """Return which scans these are for this reader, who looks for `text`."""
        return Chosen(STATES[self.state], self.tier or None, reader if self.mine else None, text)


_DEFAULTS = {name: field.default for name, field in Filter.model_fields.items()}


class Since(Filter):
    """What a page that is open says of itself when it asks whether there is more."""

    stamp: Annotated[str, Field(max_length=64)] = ""
    seen: Annotated[int, Field(ge=0, lt=2**63)] = 0


@dataclass(frozen=True)
class View:
    """All that the list needs to be drawn; `scans` are pseudonyms by case."""

    filter: Filter
    search: str
    listed: Listed
    page: Page
    saved: Saved
    scans: Mapping[str, str]
    stamp: str
    seen: int  # the newest event that it knows of

    @cached_property
    def pages(self) -> int:
        """How many pages there are, 1 at least."""
        return max(1, -(-self.page.found // PAGE))

    @property
    def number(self) -> int:
        """Which page this is."""
        return self.page.first // PAGE + 1

    @property
    def hidden(self) -> int:
        """Scans that were read and are too old to be looked through."""
        return max(0, self.page.read - NEWEST_READ) if self.filter.state == "read" else 0

    @property
    def nothing_chosen(self) -> bool:
        """Whether it is the filter and the search that leave nothing."""
        return bool(self.search or self.filter.tier or self.filter.mine or self.filter.state != "open")

    @staticmethod
    def why(row: Row) -> str:
        """Say what gives a scan its tier."""
        if row.why == "model":
            return "no score" if row.probability is None else WHY["model"]
        said = f"; the score says {row.model_tier}" if row.model_tier not in {None, row.tier} else ""
        return f"{WHY[row.why]}{said}"

    @staticmethod
    def missing(row: Row, told: int) -> list[str]:
        """Return what was not recorded and is not among the first `told` reasons."""
        return [label for label in row.missing if not any(label in one for one in row.reasons[:told])]

    @staticmethod
    def uncertainty(row: Row) -> float | None:
        """How far repeated readings of the scan differ, 0 sure to 1 not; None where there were none."""
        try:
            found = json.loads(Path(row.result or "").read_bytes())["uncertainty"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if isinstance(found, int | float) else None


def view_of(here: Hospital, visit: Visit, chosen: Filter, *, after: int | None = None) -> View:
    """Look at the worklist; arrivals are counted from event `after` on."""
    stamp, seen = stamp_of(
        here, visit, chosen
    )  # before the look: what comes meanwhile is shown again, not missed
    search = here.searches.get(visit.csrf, "")
    model, notes = brought_up_to_date(here.worklist, here.site)
    now = utc_now()
    page = here.worklist.page(
        now,
        chosen.chosen(visit.account.name, search),
        first=(chosen.page - 1) * PAGE,
        most=PAGE,
        after=after,
    )
    listed = Listed(
        site=here.site.name,
        now=now,
        rows=page.rows,
        counts={WAITING: sum(page.waiting.values()), READING: page.reading, READ: page.read},
        weights_digest=None if model is None else model.weights_digest,
        calibration_digest=None if model is None else model.calibration_digest,
        drift=drift_seen(here.worklist, model),
        notes=tuple(notes),
    )
    return View(
        filter=chosen,
        search=search,
        listed=listed,
        page=page,
        saved=saved(here.worklist.waited(midnight(now)), now),
        scans={row.case: here.scan_name(row.case) for row in page.rows},
        stamp=stamp,
        seen=seen,
    )


def stamp_of(here: Hospital, visit: Visit, chosen: Filter) -> tuple[str, int]:
    """Return what changes when the page would, at the cost of two look-ups, and the newest event.

    It changes each minute too: waiting times grow, and a scan may have reached its longest wait.
    """
    events, priorities = here.worklist.newest()
    told = (
        events,
        priorities,
        int(utc_now().timestamp()) // 60,
        [_changed(here.site.work / "model" / name) for name in MODEL_FILES],
        chosen.own(),
        here.searches.get(visit.csrf, ""),
        visit.account.name,
        visit.account.roles,
    )
    return hashlib.sha256(repr(told).encode()).hexdigest()[:32], events


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
