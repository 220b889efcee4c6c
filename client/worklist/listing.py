"""The worklist as it is read: rows in reading order, and what was measured over time."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from client.worklist.order import Place, Scan, in_order, place
from client.worklist.records import Arrival, Given, Happened, Row
from client.worklist.scans import Scans
from client.worklist.tables import READ, READING, WAITING, EventRow, PriorityRow, ScanRow
from shared.database import utc_now
from shared.sums import FloatArray

OPEN = (WAITING, READING)
AT_ONCE = 500  # a database takes only so many values in one query


class Listing(Scans):
    """Looks at the worklist."""

    def rows(
        self,
        now: datetime | None = None,
        *,
        states: Collection[str] = OPEN,
        cases: Collection[str] | None = None,
        limit: int | None = None,
    ) -> list[Row]:
        """Return the scans in these states: the next to be read first, then those read, the last one first.

        Only `cases`, where they are given. Ranks count all scans that are not yet read, whatever is asked
        for. Those that were read are told in the tier in which they were.
        """
        now = now or utc_now()
        with self._reading() as session:
            lines = self._unread(session, now) + (self._read(session) if READ in states else [])
            lines = [line for line in lines if line.one.state in states]
            return told(session, [line for line in lines if cases is None or line.one.case in cases][:limit])

    def order_of(self, state: str, now: datetime) -> list[str]:
        """Case names of the scans in a state, waiting or being read, the next to be read first."""
        with self._reading() as session:
            return [line.one.case for line in self._unread(session, now) if line.one.state == state]

    def counts(self) -> dict[str, int]:
        """How many scans are waiting, being read, and read."""
        with self._reading() as session:
            found = session.execute(select(ScanRow.state, func.count()).group_by(ScanRow.state)).all()
        counted: dict[str, int] = {state: count for state, count in found}  # noqa: C416 - rows, not tuples
        return {state: counted.get(state, 0) for state in (WAITING, READING, READ)}

    def cases(self) -> list[str]:
        """Every case that was ever listed, by name."""
        with self._reading() as session:
            return list(session.scalars(select(ScanRow.case).order_by(ScanRow.case)))

    def priorities(self, case: str) -> list[Given]:
        """Every priority that a scan was given, the oldest first; raises CaseError ``not_listed``."""
        self._row(case)
        query = select(PriorityRow).where(PriorityRow.case == case).order_by(PriorityRow.id)
        with self._reading() as session:
            return [
                Given(p.made, p.why, p.tier, p.probability, p.weights_digest, p.calibration_digest)
                for p in session.scalars(query)
            ]

    def history(self, case: str) -> list[Happened]:
        """Everything that happened to a scan, the oldest first; raises CaseError ``not_listed``."""
        self._row(case)
        query = select(EventRow).where(EventRow.case == case).order_by(EventRow.id)
        with self._reading() as session:
            return [Happened(e.time, e.what, e.by, e.tier) for e in session.scalars(query)]

    def arrivals(self) -> list[Arrival]:
        """Every scan that ever came, read or not, in the order of arrival."""
        query = (
            select(
                ScanRow.arrived, ScanRow.claimed, ScanRow.finished, PriorityRow.tier, PriorityRow.probability
            )
            .join(PriorityRow, ScanRow.priority == PriorityRow.id, isouter=True)
            .order_by(ScanRow.arrived, ScanRow.case)
        )
        with self._reading() as session:
            return [Arrival(*one) for one in session.execute(query)]

    def recent_scores(self, most: int, *, calibration_digest: str | None = None) -> FloatArray:
        """Calibrated log-odds (n,) of the newest scans, n <= most, the newest first.

        Only of those whose newest priority is of this calibration, where one is given.
        """
        query = select(PriorityRow.log_odds).join(ScanRow, ScanRow.priority == PriorityRow.id)
        if calibration_digest is not None:
            query = query.where(PriorityRow.calibration_digest == calibration_digest)
        with self._reading() as session:
            found = session.scalars(query.order_by(ScanRow.arrived.desc(), ScanRow.case).limit(most)).all()
        return np.array(found, dtype=np.float64)

    def _unread(self, session: Session, now: datetime) -> "list[Line]":
        """Place every scan that is not yet read, the next to be read first."""
        found = {one.case: one for one in session.execute(_order_query().where(ScanRow.state != READ))}
        placed = in_order(map(_scan, found.values()), self.longest, now)
        return [Line(rank, found[scan.case], at) for rank, (scan, at) in enumerate(placed, start=1)]

    def _read(self, session: Session, newest: int | None = None) -> "list[Line]":
        """Place the scans that were read, the last one first, in the tiers in which they were."""
        query = _order_query().where(ScanRow.state == READ)
        found = session.execute(query.order_by(ScanRow.finished.desc(), ScanRow.case).limit(newest))
        return [Line(None, one, place(_scan(one), self.longest, one.finished)) for one in found]

    def _row(self, case: str) -> ScanRow:
        with self._reading() as session:
            return self._scan(session, case)


@dataclass(frozen=True)
class Line:
    """One scan in its place; `one` has the columns of `_order_query`."""

    rank: int | None
    one: Any
    at: Place


def _order_query() -> Any:
    """Select what the order depends on and what a list is searched by, of all scans."""
    return select(
        ScanRow.case,
        ScanRow.patient,
        ScanRow.came,
        ScanRow.urgent_since,
        ScanRow.asap_since,
        ScanRow.stat_since,
        ScanRow.ordered,
        ScanRow.state,
        ScanRow.reader,
        ScanRow.finished,
        PriorityRow.tier.label("model"),
        PriorityRow.probability,
    ).join(PriorityRow, ScanRow.priority == PriorityRow.id, isouter=True)


def told(session: Session, lines: Sequence[Line]) -> list[Row]:
    """Return all that is told of some scans, in their order."""
    whole = _whole(session, [line.one.case for line in lines])
    return [_row(line.rank, whole[line.one.case], line.at) for line in lines]


def _whole(session: Session, cases: Sequence[str]) -> dict[str, Any]:
    """All of some scans that a line tells, by case: the columns of the scan and of its newest priority."""
    columns = [column for column in ScanRow.__table__.columns if column.name not in {"features", "priority"}]
    of_priority = (PriorityRow.probability, PriorityRow.log_odds, PriorityRow.calibration_digest)
    query = select(*columns, PriorityRow.tier.label("model"), PriorityRow.found, *of_priority).join(
        PriorityRow, ScanRow.priority == PriorityRow.id, isouter=True
    )
    found: dict[str, Any] = {}
    for start in range(0, len(cases), AT_ONCE):
        some = query.where(ScanRow.case.in_(cases[start : start + AT_ONCE]))
        found |= {one.case: one for one in session.execute(some)}
    return found


def _scan(one: Any) -> Scan:
    since = (one.urgent_since, one.asap_since, one.stat_since)
    return Scan(one.case, one.came, since, one.model, one.ordered, one.probability)


def _row(rank: int | None, one: Any, at: Place) -> Row:
    found = {} if one.found is None else json.loads(one.found)  # a PriorityFound, as it was checked when put
    return Row(
        rank=rank,
        case=one.case,
        patient=one.patient,
        tier=at.tier,
        why=at.why,
        model_tier=one.model,
        ordered=one.ordered,
        probability=one.probability,
        low=found.get("low"),
        high=found.get("high"),
        log_odds=one.log_odds,
        state=one.state,
        reader=one.reader,
        arrived=one.arrived,
        waiting_since=one.came,
        entered=at.entered,
        state_since=one.state_since,
        claimed=one.claimed,
        finished=one.finished,
        reasons=tuple(reason["text"] for reason in found.get("reasons", ())),
        missing=tuple(found.get("missing", ())),
        warnings=tuple(one.warnings),
        weights_digest=one.weights_digest,
        calibration_digest=one.calibration_digest,
        result=one.result,
    )
