"""The tables of the queue of uploads.

upload:  open -> received -> checking -> checked | failed
scan:                                    waiting -> reading -> read | failed
                                         skipped (refused before it was read)
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Column, ForeignKey, Integer, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.database import UtcTime

OPEN, RECEIVED, CHECKING, CHECKED, FAILED = "open", "received", "checking", "checked", "failed"
WAITING, READING, READ, SKIPPED = "waiting", "reading", "read", "skipped"


class Base(DeclarativeBase):
    """What all tables have in common."""

    type_annotation_map = {datetime: UtcTime, dict[str, Any]: JSON, list[str]: JSON}  # noqa: RUF012 - as SQLAlchemy wants it


SCHEMA_TABLE = Table(
    "uploads_schema", Base.metadata, Column("version", Integer, primary_key=True, autoincrement=False)
)
"""Version of the tables."""


class UploadRow(Base):
    """One upload of one person; its files lie in `work`/uploads/`id`."""

    __tablename__ = "uploads"
    __table_args__ = (
        CheckConstraint(
            "state IN ('open', 'received', 'checking', 'checked', 'failed')", name="uploads_state"
        ),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(index=True)
    state: Mapped[str] = mapped_column(index=True)
    begun: Mapped[datetime] = mapped_column(index=True)
    finished: Mapped[datetime | None]  # when the person said that all was sent
    attempts: Mapped[int] = mapped_column(default=0)  # to check it
    reason: Mapped[str | None]  # why the whole failed
    notes: Mapped[list[str]]  # what should be known of its history
    removed: Mapped[datetime | None]  # when its files were deleted


class ScanRow(Base):
    """One scan of an upload, or one file that is none; what can be read stands in `listed`."""

    __tablename__ = "uploads_scans"
    __table_args__ = (
        CheckConstraint(
            "state IN ('waiting', 'reading', 'read', 'failed', 'skipped')", name="uploads_scan_state"
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    upload: Mapped[str] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), index=True)
    sent: Mapped[str]  # the file, zip or folder in which it came, as it was called
    case: Mapped[str | None] = mapped_column(index=True)
    content: Mapped[str | None]  # SHA-256 of its files
    listed: Mapped[dict[str, Any] | None]  # client.data.layouts.base.Listed
    state: Mapped[str] = mapped_column(index=True)
    attempts: Mapped[int] = mapped_column(default=0)  # to read it
    reason: Mapped[str | None]  # a code, as in client/data/cures.py
    detail: Mapped[str | None]
