"""The database: opening it, its tables, and one transaction for each look and each change."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from server.store.rows import Base, SchemaRow
from shared.errors import ConfigError

SCHEMA = 1
BUSY_MS = 30_000


class Database:
    """The database behind one coordinator; safe to use from several threads and processes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> Self:
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
                _prepare(session)
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


def _prepare(session: Session) -> None:
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(7463)"))  # two at once would both make tables
    if not inspect(connection).has_table(SchemaRow.__tablename__):
        Base.metadata.create_all(connection)
        session.add(SchemaRow(version=SCHEMA))
        return
    found = session.scalar(select(SchemaRow.version))
    if found != SCHEMA:
        raise ConfigError(
            f"the database has schema version {found}, expected {SCHEMA}: it was written by another version "
            "of Wardround. Install that version again, or name another database."
        )


def _engine(url: str) -> Engine:
    engine = create_engine(url, pool_pre_ping=True)
    if engine.dialect.name != "sqlite":
        return engine

    @event.listens_for(engine, "connect")
    def _connected(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver's own way to begin would let two writers collide
        cursor = connection.cursor()
        for pragma in (f"busy_timeout={BUSY_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
