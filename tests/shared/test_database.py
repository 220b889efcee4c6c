import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from shared import database


def test_a_new_file_that_another_holds_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    other.execute("CREATE TABLE held (a)")
    release = threading.Timer(0.5, other.execute, ("COMMIT",))
    release.start()
    engine = database._engine(f"sqlite:///{path}")
    with Session(engine) as session:
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert session.scalar(text("SELECT count(*) FROM held")) == 0
    release.join()
    engine.dispose()
    other.close()


def test_a_lock_that_is_never_let_go_ends_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_MS", 200)
    path = tmp_path / "a.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    engine = database._engine(f"sqlite:///{path}")
    with pytest.raises(OperationalError, match="locked"), Session(engine) as session:
        session.scalar(text("SELECT 1"))
    engine.dispose()
    other.close()


class _CollidingCursor:
    """Two that switch a new file to WAL at once: SQLite tells one of them so without any wait."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    def execute(self, _: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise sqlite3.OperationalError("database is locked")


def test_two_that_switch_a_new_file_at_once_both_come_through(monkeypatch: pytest.MonkeyPatch) -> None:
    cursor = _CollidingCursor(refusals=3)
    database._use_wal(cursor)  # type: ignore[arg-type]
    assert cursor.refusals == 0
    monkeypatch.setattr(database, "BUSY_MS", 50)
    with pytest.raises(sqlite3.OperationalError):
        database._use_wal(_CollidingCursor(refusals=1000))  # type: ignore[arg-type]
