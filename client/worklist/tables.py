"""The tables of the worklist. What happened and what was scored is only ever added."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Column, ForeignKey, Integer, String, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.database import UtcTime
from shared.priority import Tier

WAITING, READING, READ = "waiting", "reading", "read"
STATES = (WAITING, READING, READ)
_TIERS = "('routine', 'urgent', 'asap', 'stat')"


class Base(DeclarativeBase):
    """What all tables have in common."""

    type_annotation_map = {  # noqa: RUF012 - as SQLAlchemy wants it
        datetime: UtcTime,
        Tier: String(),
        dict[str, Any]: JSON,
        list[str]: JSON,
    }


SCHEMA_TABLE = Table(
    "worklist_schema", Base.metadata, Column("version", Integer, primary_key=True, autoincrement=False)
)
"""Version of the tables."""


class ScanRow(Base):
    """One scan and where it stands now."""

    __tablename__ = "worklist_scans"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'reading', 'read')", name="worklist_state"),
        CheckConstraint("(state = 'waiting') = (reader IS NULL)", name="worklist_reader"),
        CheckConstraint(f"ordered IN {_TIERS}", name="worklist_ordered"),
    )
    case: Mapped[str] = mapped_column(primary_key=True)
    patient: Mapped[str]
    source_digest: Mapped[str]  # of the newest result
    study_digest: Mapped[str]
    weights_digest: Mapped[str]  # of the network that read it
    result: Mapped[str | None]  # path of result.json
    features: Mapped[dict[str, Any]]
    warnings: Mapped[list[str]]
    arrived: Mapped[datetime]
    came: Mapped[datetime]  # since when it waits: on arrival, and again when it was reopened
    state: Mapped[str] = mapped_column(index=True)
    state_since: Mapped[datetime]
    reader: Mapped[str | None]  # who reads or has read it
    claimed: Mapped[datetime | None]
    finished: Mapped[datetime | None]
    ordered: Mapped[Tier | None]  # the clinician's own tier
    urgent_since: Mapped[datetime | None]  # when model or clinician put it at least there
    asap_since: Mapped[datetime | None]
    stat_since: Mapped[datetime | None]
    # The newest of its priorities. No foreign key: the two tables would need each other to exist.
    priority: Mapped[int | None]


class PriorityRow(Base):
    """One priority that a scan was given; the newest counts, the others are kept."""

    __tablename__ = "worklist_priorities"
    id: Mapped[int] = mapped_column(primary_key=True)
    case: Mapped[str] = mapped_column(ForeignKey("worklist_scans.case"), index=True)
    made: Mapped[datetime]
    why: Mapped[str]  # "first reading", "another reading" or "new calibration"
    wardround: Mapped[str]
    weights_digest: Mapped[str]
    calibration_digest: Mapped[str | None]
    probability: Mapped[float]
    log_odds: Mapped[float]
    tier: Mapped[Tier]
    found: Mapped[str]  # client.result.PriorityFound as JSON, reasons included; read only when shown


class EventRow(Base):
    """One thing that happened to a scan."""

    __tablename__ = "worklist_events"
    id: Mapped[int] = mapped_column(primary_key=True)
    case: Mapped[str] = mapped_column(ForeignKey("worklist_scans.case"), index=True)
    time: Mapped[datetime]
    what: Mapped[str]  # arrived, claimed, released, read, reopened or ordered
    by: Mapped[str]  # as the site's own people call themselves; "" for the program
    tier: Mapped[Tier | None]  # of an order
