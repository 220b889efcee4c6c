"""A database as every part uses one: SQLite in WAL mode or PostgreSQL, one transaction a look or change."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

BUSY_MS = 30_000
PAUSE_S = 0.02


def open_engine(url: str) -> Engine:
    """Make the engine of `url`; nothing is opened yet.

    Of two writers to one SQLite file the second waits for the first, at most `BUSY_MS`.

    Raises
    ------
    ArgumentError, NoSuchModuleError, ModuleNotFoundError
        From SQLAlchemy, for a url that it cannot use.
    """
    engine = create_engine(url, pool_pre_ping=True)
    if engine.dialect.name != "sqlite":
        return engine

    @event.listens_for(engine, "connect")
    def _connected(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver's own way to begin would let two writers collide
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        _use_wal(cursor)
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """Look at the database."""
    with Session(engine, expire_on_commit=False) as session:
        yield session


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """Change the database: all of the block or nothing of it."""
    marked = engine.execution_options(writes=True)
    with Session(marked, expire_on_commit=False) as session, session.begin():
        yield session


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
