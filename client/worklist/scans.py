"""Putting scans on the worklist: results of the network, orders of clinicians, new calibrations."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Literal, Self

from sqlalchemy import Table, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from client.priority_found import priority_found
from client.result import PriorityFound, Result
from client.site import Site
from client.worklist.model_in_use import ModelInUse
from client.worklist.order import rank_of
from client.worklist.tables import READ, SCHEMA_TABLE, WAITING, EventRow, PriorityRow, ScanRow
from client.worklist_settings import LongestWait
from shared import __version__, database
from shared.database import utc_now
from shared.errors import CaseError
from shared.priority import Tier

FILE = "worklist.db"
SINCE = ("urgent_since", "asap_since", "stat_since")
Put = Literal["new", "read again", "known"]


@dataclass(frozen=True)
class Reprioritised:
    """What a new calibration came to, in scans that are not yet read."""

    changed: int
    same: int  # had this calibration already, or the model has none
    other_model: int  # read by another network, whose features this calibration was not fitted on
    failed: Mapping[str, str]  # case -> why; they keep the priority they had


def database_url(site: Site) -> str:
    """Return the URL of the worklist's database; one of our own is made open to its owner only."""
    if site.worklist.database is not None:
        return site.worklist.database
    path = (site.make_work() / FILE).absolute()
    path.touch(mode=0o600)  # before SQLite does, which would let others read it
    return f"sqlite:///{path}"


class Scans(database.Database):
    """The scans and their priorities."""

    schema: ClassVar[int] = 1
    schema_table: ClassVar[Table] = SCHEMA_TABLE
    site_name: str = ""
    longest: LongestWait = LongestWait()

    @classmethod
    def open(cls, site: Site) -> Self:
        """Open the site's worklist, or make it; raise ConfigError when that cannot be done."""
        opened = cls.open_url(database_url(site))
        opened.site_name, opened.longest = site.name, site.worklist.longest_wait_h
        return opened

    def put(
        self,
        result: Result,
        *,
        path: Path | None = None,
        arrived: datetime | None = None,
        ordered: Tier | None = None,
        by: str = "",
    ) -> Put:
        """List a scan that the network has read; the same result again changes nothing.

        Another result of a listed scan takes the place of the one before, whose priority is kept. A scan that
        was read stays read. `path` is where the result lies, `arrived` when the scan came (default: when the
        result was made), `ordered` the clinician's own tier, called by `by`. The last three count for a scan
        that is new.
        """
        values = {
            "source_digest": result.source_digest,
            "study_digest": result.versions.study_digest,
            "weights_digest": result.versions.weights_digest,
            "result": None if path is None else str(path),
            "features": dict(result.features),
            "warnings": list(result.warnings),
        }
        try:
            return self._put(result, values, arrived or result.made, ordered, by)
        except IntegrityError:  # another process listed it between our look and our insert
            return self._put(result, values, arrived or result.made, ordered, by)

    def order(self, case: str, tier: Tier, *, by: str, now: datetime | None = None) -> None:
        """Note a clinician's own tier for a scan that is not read yet.

        It raises the scan at once. A lower one than before takes away what a clinician or an earlier
        calibration had put, never what the model says now nor what the wait has made of it.

        Raises
        ------
        CaseError
            ``not_listed``, or ``read`` already.
        """
        now = now or utc_now()
        with self._writing() as session:
            scan = self._scan(session, case)
            if scan.state == READ:
                raise CaseError("read", f"{case} was read by {scan.reader}. Reopen it, then order again.")
            scan.ordered = tier
            newest = None if scan.priority is None else session.get(PriorityRow, scan.priority)
            top = max(rank_of(tier), 0 if newest is None else rank_of(newest.tier))
            for name in SINCE[top:]:
                setattr(scan, name, None)
            _put_at_least(scan, top, now)
            session.add(EventRow(case=case, time=now, what="ordered", by=by, tier=tier))

    def reprioritise(self, model: ModelInUse, *, now: datetime | None = None) -> Reprioritised:
        """Score every scan that is not yet read with a new calibration, from the features that were kept.

        A scan that cannot be scored is named and keeps what it had.
        """
        now = now or utc_now()
        changed, same, other = 0, 0, 0
        failed: dict[str, str] = {}
        query = (
            select(ScanRow, PriorityRow.calibration_digest)
            .join(PriorityRow, ScanRow.priority == PriorityRow.id, isouter=True)
            .where(ScanRow.state != READ)
            .order_by(ScanRow.case)
        )
        with self._writing() as session:
            for scan, before in session.execute(query).all():
                if scan.weights_digest != model.weights_digest:
                    other += 1
                elif model.priority is None or before == model.calibration_digest:
                    same += 1
                else:
                    try:
                        found = priority_found(
                            model.priority, scan.features, site=self.site_name, changes=False
                        )
                    except CaseError as error:
                        failed[scan.case] = str(error)
                        continue
                    row = _priority_row(scan, found, calibration_digest=model.calibration_digest)
                    row.made, row.why = now, "new calibration"
                    _prioritise(session, scan, row, now)
                    changed += 1
        return Reprioritised(changed, same, other, failed)

    def is_outdated(self, model: ModelInUse) -> bool:
        """Whether `reprioritise` would find a scan to score."""
        if model.priority is None:
            return False
        newest = PriorityRow.calibration_digest
        query = (
            select(ScanRow.case)
            .join(PriorityRow, ScanRow.priority == PriorityRow.id, isouter=True)
            .where(ScanRow.state != READ, ScanRow.weights_digest == model.weights_digest)
            .where(newest.is_(None) | (newest != model.calibration_digest))
            .limit(1)
        )
        with self._reading() as session:
            return session.scalar(query) is not None

    def _put(
        self,
        result: Result,
        values: Mapping[str, object],
        arrived: datetime,
        ordered: Tier | None,
        by: str,
    ) -> Put:
        now = utc_now()
        with self._writing() as session:
            scan = session.get(ScanRow, result.case, with_for_update=True)
            new = scan is None
            if scan is None:
                scan = ScanRow(
                    case=result.case, patient=result.patient, arrived=arrived, came=arrived, ordered=ordered
                )
                scan.state, scan.state_since = WAITING, arrived
                session.add(scan)
                _put_at_least(scan, rank_of(ordered), arrived)
            elif scan.source_digest == result.source_digest:
                return "known"
            for name, value in values.items():
                setattr(scan, name, value)
            session.flush()
            if new:
                session.add(EventRow(case=scan.case, time=arrived, what="arrived", by=""))
                if ordered is not None:
                    session.add(EventRow(case=scan.case, time=arrived, what="ordered", by=by, tier=ordered))
            scan.priority = None
            if result.priority is not None:
                calibration = result.versions.calibration_digest
                row = _priority_row(scan, result.priority, calibration_digest=calibration)
                row.wardround, row.made = result.versions.wardround, now
                row.why = "first reading" if new else "another reading"
                _prioritise(session, scan, row, arrived if new else now)
            return "new" if new else "read again"

    @staticmethod
    def _scan(session: Session, case: str) -> ScanRow:
        scan = session.get(ScanRow, case, with_for_update=True)
        if scan is None:
            raise CaseError(
                "not_listed", f"{case} is not on the worklist. `wardround site worklist SITE` shows what is."
            )
        return scan


def _prioritise(session: Session, scan: ScanRow, row: PriorityRow, since: datetime) -> None:
    """Give a scan one priority more; `since` when it counts."""
    session.add(row)
    session.flush()
    scan.priority = row.id
    _put_at_least(scan, rank_of(row.tier), since)


def _priority_row(scan: ScanRow, found: PriorityFound, *, calibration_digest: str | None) -> PriorityRow:
    return PriorityRow(
        case=scan.case,
        weights_digest=scan.weights_digest,
        calibration_digest=calibration_digest,
        wardround=__version__,
        probability=found.probability,
        log_odds=found.log_odds,
        tier=found.tier,
        found=found.model_dump_json(),
    )


def _put_at_least(scan: ScanRow, rank: int, when: datetime) -> None:
    """Note since when a scan was put at least in this tier; what stands stays."""
    for name in SINCE[:rank]:
        if getattr(scan, name) is None:
            setattr(scan, name, when)
