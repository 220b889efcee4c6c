"""The tables, and how Flower's numbers are kept in them."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Dialect, Integer, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from shared.database import UtcTime


class Unsigned(TypeDecorator[int]):
    """A 64-bit number without sign, as Flower numbers nodes and runs; databases only have signed ones."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Fold the upper half to negative numbers."""
        return value if value is None or value < 2**63 else value - 2**64

    def process_result_value(self, value: int | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Unfold them."""
        return value if value is None or value >= 0 else value + 2**64


class Base(DeclarativeBase):
    """What all tables have in common."""

    type_annotation_map = {datetime: UtcTime}  # noqa: RUF012 - as SQLAlchemy wants it


SCHEMA_TABLE = Table(
    "wardround_schema", Base.metadata, Column("version", Integer, primary_key=True, autoincrement=False)
)
"""Version of the tables."""


class SiteRow(Base):
    """A site that has enrolled, once or now."""

    __tablename__ = "sites"
    name: Mapped[str] = mapped_column(primary_key=True)
    public_key: Mapped[bytes]
    node_id: Mapped[int | None] = mapped_column(Unsigned)  # Flower's; None until the node is registered
    enrolled_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    last_seen: Mapped[datetime | None]
    version: Mapped[str | None]
    problem: Mapped[str | None]
    audit_lines: Mapped[int | None] = mapped_column(BigInteger)
    audit_seal: Mapped[str | None]


class InviteRow(Base):
    """An invite, open or not any more."""

    __tablename__ = "invites"
    code_sha256: Mapped[str] = mapped_column(primary_key=True)
    site: Mapped[str] = mapped_column(index=True)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    withdrawn_at: Mapped[datetime | None]
    replaces: Mapped[bool] = mapped_column(default=False)  # may take the place of an enrolled site's key


class RunRow(Base):
    """A run that was asked for."""

    __tablename__ = "runs"
    id: Mapped[str] = mapped_column(primary_key=True)
    study_name: Mapped[str]
    study_digest: Mapped[str]
    study_yaml: Mapped[str]
    state: Mapped[str] = mapped_column(index=True)
    reason: Mapped[str | None]
    flower_run: Mapped[int | None] = mapped_column(Unsigned)
    created: Mapped[datetime]
    started: Mapped[datetime | None]
    ended: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
