"""The database: opening it, its tables, and one transaction for each look and each change."""

from contextlib import AbstractContextManager
from typing import Self

from sqlalchemy import Engine, inspect, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

from server.store.rows import Base, SchemaRow
from shared.database import open_engine, reading, writing
from shared.errors import ConfigError

SCHEMA = 1


class Database:
    """The database behind one coordinator; safe to use from several threads and processes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> Self:
        """Open the database and make its tables; raise ConfigError when that cannot be done."""
        try:
            store = cls(open_engine(url))
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

    def _reading(self) -> AbstractContextManager[Session]:
        return reading(self._engine)

    def _writing(self) -> AbstractContextManager[Session]:
        return writing(self._engine)


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
