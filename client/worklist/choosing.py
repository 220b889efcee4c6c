"""One page of a list that may be long: which scans are chosen, and what is counted over all of them."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from client.worklist.listing import OPEN, Line, Listing, told
from client.worklist.order import TIERS
from client.worklist.records import Row, Waited
from client.worklist.tables import READ, READING, WAITING, EventRow, PriorityRow, ScanRow
from shared.priority import Tier

NEWEST_READ = 1000
"""So many of the scans that were read are looked through, the last ones: there are more every day."""


@dataclass(frozen=True)
class Chosen:
    """Which scans are looked at; None and "" leave nobody out."""

    states: Collection[str] = OPEN
    tier: Tier | None = None
    reader: str | None = None  # who reads or has read it
    text: str = ""  # stands in the name of case or patient, in capitals or not

    def holds(self, line: Line) -> bool:
        """Whether a scan is one of them."""
        sought = self.text.casefold()
        return (
            line.one.state in self.states
            and self.tier in {None, line.at.tier}
            and self.reader in {None, line.one.reader}
            and (sought in line.one.case.casefold() or sought in line.one.patient.casefold())
        )


@dataclass(frozen=True)
class Page:
    """Some rows, and counts of all that is listed, chosen or not; times are in UTC."""

    rows: list[Row]
    first: int  # how many chosen scans stand on the pages before
    found: int  # chosen scans, on all pages
    waiting: Mapping[Tier, int]  # by the tier in which they are read, the highest first
    reading: int
    read: int
    read_today: int
    oldest: datetime | None  # since when the one waits that waits longest
    came: Mapping[Tier, int]  # of the scans not yet read, those that came after `after`


class Choosing(Listing):
    """Looks at parts of the worklist, and whether it changed."""

    def page(
        self, now: datetime, chosen: Chosen, *, first: int = 0, most: int = 50, after: int | None = None
    ) -> Page:
        """Return the page of `most` chosen scans that the one at `first` is on, or the last page there is.

        `after` is the event (`newest`[0]) since which arrivals are counted; None: none are.
        """
        with self._reading() as session:
            unread = self._unread(session, now)
            read = self._read(session, NEWEST_READ) if READ in chosen.states else []
            lines = [line for line in (*unread, *read) if chosen.holds(line)]
            start = max(0, min(first, len(lines) - 1)) // most * most
            rows = told(session, lines[start : start + most])
            was_read = session.scalar(select(func.count()).where(ScanRow.state == READ)) or 0
            today = select(func.count()).where(ScanRow.state == READ, ScanRow.finished >= midnight(now))
            read_today = session.scalar(today) or 0
            new = select(EventRow.case).where(EventRow.id > (after or 0), EventRow.what == "arrived")
            arrived = set() if after is None else set(session.scalars(new))
        waiting = [line for line in unread if line.one.state == WAITING]
        return Page(
            rows=rows,
            first=start,
            found=len(lines),
            waiting=_by_tier(waiting),
            reading=sum(line.one.state == READING for line in unread),
            read=was_read,
            read_today=read_today,
            oldest=min((line.one.came for line in waiting), default=None),
            came=_by_tier([line for line in unread if line.one.case in arrived]),
        )

    def newest(self) -> tuple[int, int]:
        """Return the numbers of the newest event and the newest priority: equal while nothing happened."""
        with self._reading() as session:
            event = session.scalar(select(func.max(EventRow.id)))
            priority = session.scalar(select(func.max(PriorityRow.id)))
        return event or 0, priority or 0

    def waited(self, since: datetime) -> list[Waited]:
        """Return the scans that a reader took at `since` or later, and those that wait still."""
        taken = func.coalesce(ScanRow.claimed, ScanRow.finished)
        query = select(ScanRow.came, ScanRow.claimed, ScanRow.finished, ScanRow.urgent_since).where(
            (ScanRow.state == WAITING) | (taken >= since)
        )
        with self._reading() as session:
            return [
                Waited(one.came, one.claimed or one.finished, one.urgent_since is not None)
                for one in session.execute(query)
            ]


def midnight(now: datetime) -> datetime:
    """When today began by the clock on this machine's wall."""
    return now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)


def _by_tier(lines: Collection[Line]) -> dict[Tier, int]:
    counted = Counter(line.at.tier for line in lines)
    return {tier: counted[tier] for tier in reversed(TIERS)}
