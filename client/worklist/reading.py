"""Who reads what. A scan waits, is read by one reader, and then was read; each step is one UPDATE.

    waiting --claim--> reading --finish--> read
            <-release-         <----reopen----

The database decides which of several readers gets a scan: the first whose UPDATE still finds it waiting.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, literal, update
from sqlalchemy import case as case_when

from client.worklist.listing import Listing
from client.worklist.scans import SINCE
from client.worklist.tables import READ, READING, WAITING, EventRow, ScanRow
from shared.database import UtcTime, utc_now
from shared.errors import CaseError


class Reading(Listing):
    """The steps of reading."""

    def claim(self, case: str, reader: str, *, now: datetime | None = None) -> None:
        """Take a waiting scan; nothing happens if this reader has it already.

        Raises
        ------
        CaseError
            ``not_listed``, ``taken`` by another, or ``read`` already.
        """
        if not self._claimed(case, reader, now or utc_now()):
            scan = self._row(case)
            if scan.state == READING and scan.reader == reader:
                return
            raise _refusal(scan)

    def claim_next(self, reader: str, *, now: datetime | None = None) -> str | None:
        """Take the first waiting scan of the order and return its case; None when no scan waits."""
        now = now or utc_now()
        while waiting := self.order_of(WAITING, now):
            for case in waiting:
                if self._claimed(case, reader, now):
                    return case
        return None

    def release(self, case: str, reader: str, *, force: bool = False, now: datetime | None = None) -> None:
        """Give a scan back to the list; its wait goes on from when it came. `force`: another reader's.

        Raises
        ------
        CaseError
            ``not_listed``, ``taken`` by another, or nobody is reading it.
        """
        wanted = (ScanRow.state == READING) if force else _is_read_by(reader)
        if not self._move(case, "released", reader, now, wanted, state=WAITING, reader=None, claimed=None):
            raise _refusal(self._row(case))

    def finish(self, case: str, reader: str, *, now: datetime | None = None) -> None:
        """Note that a scan was read: one that this reader had claimed, or one that nobody had.

        Raises
        ------
        CaseError
            ``not_listed``, ``taken`` by another, or ``read`` already.
        """
        now = now or utc_now()
        wanted = _is_read_by(reader) | (ScanRow.state == WAITING)
        if not self._move(case, "read", reader, now, wanted, state=READ, reader=reader, finished=now):
            raise _refusal(self._row(case))

    def reopen(self, case: str, reader: str, *, now: datetime | None = None) -> None:
        """Put a scan that was read back on the list; its wait begins anew, its tier stays.

        Raises
        ------
        CaseError
            ``not_listed``, or it was not read.
        """
        now = now or utc_now()
        values: dict[str, Any] = {"came": now, "claimed": None, "finished": None, "reader": None}
        for name in SINCE:  # what was put there is put there anew
            values[name] = case_when((getattr(ScanRow, name).is_not(None), literal(now, UtcTime)), else_=None)
        if not self._move(case, "reopened", reader, now, ScanRow.state == READ, state=WAITING, **values):
            raise _refusal(self._row(case))

    def _claimed(self, case: str, reader: str, now: datetime) -> bool:
        free = ScanRow.state == WAITING
        return self._move(case, "claimed", reader, now, free, state=READING, reader=reader, claimed=now)

    def _move(
        self,
        case: str,
        what: str,
        by: str,
        now: datetime | None,
        wanted: ColumnElement[bool],
        **values: Any,
    ) -> bool:
        """Change a scan if it is as `wanted`, in one statement, and note it; whether it was."""
        now = now or utc_now()
        with self._writing() as session:
            moved = session.scalar(
                update(ScanRow)
                .where(ScanRow.case == case, wanted)
                .values(state_since=now, **values)
                .returning(ScanRow.case)
            )
            if moved is not None:
                session.add(EventRow(case=case, time=now, what=what, by=by))
        return moved is not None


def _is_read_by(reader: str) -> ColumnElement[bool]:
    return (ScanRow.state == READING) & (ScanRow.reader == reader)


def _refusal(scan: ScanRow) -> CaseError:
    since = f"{scan.state_since:%Y-%m-%d %H:%M} UTC"
    if scan.state == READING:
        return CaseError(
            "taken",
            f"{scan.case} is being read by {scan.reader} since {since}. Take another, or release it.",
        )
    if scan.state == READ:
        return CaseError("read", f"{scan.case} was read by {scan.reader}, {since}. To read it again: reopen.")
    return CaseError("waiting", f"{scan.case} waits since {since}; nobody is reading it. Claim it first.")
