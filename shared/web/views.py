"""Who looked at what: written down before it happens, kept for ever, never changed.

SQLite itself refuses to change or remove a view (shared/web/tables.py), and the numbers of views have no
gaps. There is no chain of hashes as in client/audit.py: whoever can write the file could make that anew, and
nobody outside holds its last seal. What is downloaded now and then is what a file can be compared with.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select

from shared.database import Database, utc_now
from shared.web.tables import ViewRow

COLUMNS = ("number", "time", "account", "method", "path", "address")
PAGE = 1000
STRANGER = "(no such account)"
"""Stands for a name that nobody has: people type a password there by mistake."""


@dataclass(frozen=True)
class View:
    """One look or change.

    method : of HTTP; LOGIN; REFUSED (a wrong password, a role that is missing, a form from elsewhere);
        EXPIRED (a session that ended by itself); ACCOUNT (an account was made or changed)
    """

    number: int
    time: datetime
    account: str
    method: str
    path: str
    address: str


class Views(Database):
    """The part of the store behind the pages that only grows."""

    def note(self, account: str, method: str, path: str, address: str) -> None:
        """Write down a look or change."""
        with self._writing() as session:
            session.add(view_row(account, method, path, address))

    def views(
        self,
        *,
        most: int,
        account: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        path: str | None = None,
        before: int | None = None,
    ) -> Sequence[View]:
        """Return the newest views that fit all that is given; `path` is how an address begins.

        The next page begins with `before` = the number of the last view of this one.
        """
        query = _filtered(account, since, until, path).order_by(ViewRow.id.desc()).limit(most)
        if before is not None:
            query = query.where(ViewRow.id < before)
        with self._reading() as session:
            return [_view(row) for row in session.scalars(query)]

    def count_views(
        self,
        *,
        account: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        path: str | None = None,
    ) -> int:
        """How many views fit all that is given."""
        query = select(func.count()).select_from(_filtered(account, since, until, path).subquery())
        with self._reading() as session:
            return session.scalar(query) or 0

    def views_csv(
        self,
        *,
        account: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        path: str | None = None,
    ) -> Iterator[str]:
        """Yield lines of CSV, oldest first, some at a time; times in UTC."""
        yield _lines([COLUMNS])
        query, last = _filtered(account, since, until, path).order_by(ViewRow.id).limit(PAGE), 0
        while True:
            with self._reading() as session:
                found = [_view(row) for row in session.scalars(query.where(ViewRow.id > last))]
            if not found:
                return
            yield _lines([_cells(view) for view in found])
            last = found[-1].number


def view_row(account: str, method: str, path: str, address: str) -> ViewRow:
    """Return a row for a transaction that writes more than this."""
    return ViewRow(time=utc_now(), account=account, method=method, path=path, address=address)


def _filtered(
    account: str | None, since: datetime | None, until: datetime | None, path: str | None
) -> Select[Any]:
    query = select(ViewRow)
    if account is not None:
        query = query.where(ViewRow.account == account)
    if since is not None:
        query = query.where(ViewRow.time >= since)
    if until is not None:
        query = query.where(ViewRow.time < until)
    if path is not None:
        query = query.where(ViewRow.path.startswith(path, autoescape=True))
    return query


def _view(row: ViewRow) -> View:
    return View(row.id, row.time, row.account, row.method, row.path, row.address)


def _cells(view: View) -> Sequence[str]:
    time = view.time.isoformat(timespec="seconds")
    return [str(view.number), time, *map(_inert, (view.account, view.method, view.path, view.address))]


def _inert(text: str) -> str:
    """Keep a spreadsheet from running what somebody typed (OWASP, CSV Injection)."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _lines(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
