"""What readers said of the results: the verdict, their own tier, which reasons were of use. It stays here.

Verdicts lie in the worklist's database and are only ever added. Of each reader and result the newest counts;
all are kept, for who looks later at how readers and model agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal, Self, get_args

from sqlalchemy import JSON, CheckConstraint, Column, Integer, String, Table, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from client.site import Site
from client.worklist.scans import database_url
from client.worklist.tables import READING, ScanRow
from shared import database
from shared.database import UtcTime, utc_now
from shared.errors import CaseError
from shared.priority import Tier

Said = Literal["accept", "modify", "reject"]
SAID: tuple[Said, ...] = get_args(Said)
LONGEST_NOTE = 1000


@dataclass(frozen=True)
class Opinion:
    """What a reader says of one result: `useful` is by the name of the reason's feature."""

    said: Said
    tier: Tier | None = None  # the reader's own; None: the reader named none
    useful: Mapping[str, bool] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """One verdict as it was given; the digests say on which result, by which model and calibration."""

    number: int
    time: datetime
    reader: str
    case: str
    source_digest: str
    weights_digest: str
    calibration_digest: str | None
    outdated: bool  # another model or calibration was in use already
    opinion: Opinion


class Base(DeclarativeBase):
    """What all tables have in common."""

    type_annotation_map = {  # noqa: RUF012 - as SQLAlchemy wants it
        datetime: UtcTime,
        Tier: String(),
        Said: String(),
        dict[str, Any]: JSON,
    }


SCHEMA_TABLE = Table(
    "verdicts_schema", Base.metadata, Column("version", Integer, primary_key=True, autoincrement=False)
)
"""Version of the table."""


class VerdictRow(Base):
    """One verdict; only ever added."""

    __tablename__ = "verdicts"
    __table_args__ = (CheckConstraint("said IN ('accept', 'modify', 'reject')", name="verdicts_said"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    time: Mapped[datetime]
    reader: Mapped[str]
    case: Mapped[str] = mapped_column(index=True)
    source_digest: Mapped[str]
    weights_digest: Mapped[str]
    calibration_digest: Mapped[str | None]
    outdated: Mapped[bool]
    said: Mapped[Said]
    tier: Mapped[Tier | None]
    useful: Mapped[dict[str, Any]]
    note: Mapped[str]


class Verdicts(database.Database):
    """The verdicts, beside the worklist."""

    schema: ClassVar[int] = 1
    schema_table: ClassVar[Table] = SCHEMA_TABLE

    @classmethod
    def open(cls, site: Site) -> Self:
        """Open the site's verdicts, whose worklist must exist; raise ConfigError when that cannot be done."""
        return cls.open_url(database_url(site))

    def give(
        self,
        case: str,
        reader: str,
        opinion: Opinion,
        *,
        source_digest: str,
        calibration_digest: str | None,
        outdated: bool = False,
        now: datetime | None = None,
    ) -> None:
        """Keep a verdict on the result that the reader saw.

        Raises
        ------
        CaseError
            ``not_listed``; ``taken``: another is reading the scan; ``read_again``: another result has taken
            the place of the one that was seen; ``note`` is too long.
        """
        if len(opinion.note) > LONGEST_NOTE:
            raise CaseError(
                "note", f"the note has {len(opinion.note)} characters, at most {LONGEST_NOTE}. Shorten it."
            )
        with self._writing() as session:
            scan = session.get(ScanRow, case, with_for_update=True)  # nobody claims it in between
            if scan is None:
                raise CaseError("not_listed", f"{case} is not on the worklist. Read it first.")
            if scan.state == READING and scan.reader != reader:
                raise CaseError(
                    "taken",
                    f"{case} is being read by {scan.reader} since {scan.state_since:%Y-%m-%d %H:%M} UTC; "
                    "your verdict was not kept. Give it when the scan was read or released.",
                )
            if scan.source_digest != source_digest:
                raise CaseError(
                    "read_again",
                    f"{case} was read again by the network since you opened it; your verdict was not kept. "
                    "Open the scan and look at the new result.",
                )
            session.add(
                VerdictRow(
                    time=now or utc_now(),
                    reader=reader,
                    case=case,
                    source_digest=source_digest,
                    weights_digest=scan.weights_digest,
                    calibration_digest=calibration_digest,
                    outdated=outdated,
                    said=opinion.said,
                    tier=opinion.tier,
                    useful=dict(opinion.useful),
                    note=opinion.note,
                )
            )

    def verdicts(self, case: str | None = None) -> list[Verdict]:
        """Every verdict on a case, or on all, the oldest first."""
        query = select(VerdictRow).order_by(VerdictRow.id)
        if case is not None:
            query = query.where(VerdictRow.case == case)
        with self._reading() as session:
            return [_verdict(row) for row in session.scalars(query)]

    def counting(self, case: str | None = None) -> list[Verdict]:
        """Return the verdicts that count: the newest of each reader and result, the oldest first."""
        newest = {(one.case, one.reader, one.source_digest): one for one in self.verdicts(case)}
        return sorted(newest.values(), key=lambda one: one.number)


def _verdict(row: VerdictRow) -> Verdict:
    opinion = Opinion(row.said, row.tier, dict(row.useful), row.note)
    return Verdict(
        row.id,
        row.time,
        row.reader,
        row.case,
        row.source_digest,
        row.weights_digest,
        row.calibration_digest,
        row.outdated,
        opinion,
    )
