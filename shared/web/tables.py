"""The tables behind the pages: who may log in, who is logged in, who looked at what."""

from datetime import datetime

from sqlalchemy import JSON, Column, Connection, ForeignKey, Integer, Table, event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.database import UtcTime


class Base(DeclarativeBase):
    """What all tables have in common."""

    type_annotation_map = {datetime: UtcTime, list[str]: JSON}  # noqa: RUF012 - as SQLAlchemy wants it


SCHEMA_TABLE = Table(
    "pages_schema", Base.metadata, Column("version", Integer, primary_key=True, autoincrement=False)
)
"""Version of the tables."""


class AccountRow(Base):
    """One person who may log in. Accounts are switched off and never deleted: the views name them."""

    __tablename__ = "pages_accounts"
    name: Mapped[str] = mapped_column(primary_key=True)
    password: Mapped[str]  # argon2id, with its parameters and salt
    one_time_until: Mapped[datetime | None]  # somebody else knows the password: it serves to choose another
    roles: Mapped[list[str]]
    created: Mapped[datetime]
    disabled: Mapped[datetime | None]


class SessionRow(Base):
    """One login; only the hash of the cookie's token is kept."""

    __tablename__ = "pages_sessions"
    token_sha256: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("pages_accounts.name"), index=True)
    created: Mapped[datetime]
    last_used: Mapped[datetime]


class ViewRow(Base):
    """One look or change by a person; only ever added."""

    __tablename__ = "pages_views"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - as SQLAlchemy wants it; no number twice
    id: Mapped[int] = mapped_column(primary_key=True)
    time: Mapped[datetime] = mapped_column(index=True)
    account: Mapped[str] = mapped_column(index=True)
    method: Mapped[str]  # of HTTP, or LOGIN, REFUSED, EXPIRED, ACCOUNT
    path: Mapped[str]  # holds pseudonyms only
    address: Mapped[str]


@event.listens_for(ViewRow.__table__, "after_create")
def _only_ever_added(_: object, connection: Connection, **__: object) -> None:
    if connection.dialect.name == "sqlite":  # which the pages always use
        for change in ("UPDATE", "DELETE"):
            connection.exec_driver_sql(
                f"CREATE TRIGGER pages_views_no_{change.lower()} BEFORE {change} ON pages_views "
                "BEGIN SELECT RAISE(ABORT, 'views are only ever added'); END"
            )
