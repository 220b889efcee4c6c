"""A database of some tables, SQLite or PostgreSQL by URL, and a transaction for each look and change.

What holds here, and is tested on both:
- several threads and processes may use it at once; writers wait for each other;
- tables that another version of Wardround wrote are refused, never guessed at;
- every time is in UTC and aware of it.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import ClassVar, Self

from sqlalchemy import (
    Connection,
    DateTime,
    Dialect,
    Engine,
    Table,
    create_engine,
    event,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator

from shared.errors import ConfigError

BUSY_MS = 30_000
PAUSE_S = 0.02


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class UtcTime(TypeDecorator[datetime]):
    """A time that is aware of UTC, also in SQLite, which has no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuse a time without a zone; store the others in UTC."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; expected one in UTC")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give the zone back."""
        return value and (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))


class Database:
    """The database behind one store; safe to use from several threads and processes.

    A store derives from it and says which tables it has: `schema_table` is the one with the single column
    `version`, its metadata hold the others, and `schema` is the version that this code reads and writes.
    """

    schema: ClassVar[int]
    schema_table: ClassVar[Table]

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open_url(cls, url: str) -> Self:
        """Open the database and make its tables; raise ConfigError when that cannot be done."""
        try:
            store = cls(_engine(url))
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise ConfigError(
                f"the database cannot be opened: {error}. For PostgreSQL install wardround[postgres] "
                "and write postgresql+psycopg://user:password@host/database."
            ) from error
        try:
            with store._writing() as session:
                cls._prepare(session.connection())
        except DBAPIError as error:
            store.close()
            raise ConfigError(f"the database cannot be opened: {error.orig}. Check `database`.") from error
        except ConfigError:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        engine = self._engine.execution_options(writes=True)
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    @classmethod
    def _prepare(cls, connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(7463)"))  # two would both make them
        if not inspect(connection).has_table(cls.schema_table.name):
            cls.schema_table.metadata.create_all(connection)
            connection.execute(insert(cls.schema_table).values(version=cls.schema))
            return
        found = connection.scalar(select(cls.schema_table.c.version))
        if found != cls.schema:
            raise ConfigError(
                f"the database has schema version {found}, expected {cls.schema}: it was written by another "
                "version of Wardround. Install that version again, or name another database."
            )


def _engine(url: str) -> Engine:
    engine = create_engine(url, pool_pre_ping=True)
    if engine.dialect.name != "sqlite":
        return engine

    @event.listens_for(engine, "connect")
    def _connected(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver's own way to begin would let two writers collide
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        _use_wal(cursor)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _use_wal(cursor: DBAPICursor) -> None:
    # SQLite answers "locked" at once where two switch a new file to WAL together: busy_timeout does not hold.
    until = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(PAUSE_S)
        else:
            return
