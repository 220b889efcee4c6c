"""The coordinator's database: which tables it has, and opening it."""

from typing import ClassVar, Self

from sqlalchemy import Table

from server.store.rows import SCHEMA_TABLE
from shared import database


class Database(database.Database):
    """The database behind one coordinator; safe to use from several threads and processes."""

    schema: ClassVar[int] = 1
    schema_table: ClassVar[Table] = SCHEMA_TABLE

    @classmethod
    def open(cls, url: str) -> Self:
        """Open the database and make its tables; raise ConfigError when that cannot be done."""
        return cls.open_url(url)
