"""Accounts and sessions, in one database with the views.

A session's token is 256 random bits; the database has its SHA-256 only. A session that is over is gone from
the database: what happened stands in the views.
"""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from sqlalchemy import Table, delete, or_, select, update
from sqlalchemy.orm import Session

from shared.database import utc_now
from shared.errors import ConfigError
from shared.web.passwords import hash_password, matches
from shared.web.tables import SCHEMA_TABLE, AccountRow, SessionRow
from shared.web.views import STRANGER, Views, view_row

LONGEST_NAME = 64
MANAGERS = frozenset({"engineer", "coordinator"})
"""Roles that may make and change accounts."""
ONE_TIME = timedelta(days=7)
"""How long a password serves that somebody else knows."""
TOUCH_S = 20.0
"""How old the time of the last request may become: not every request has to write."""


@dataclass(frozen=True)
class Account:
    """One person; with a `one_time` password, only another can be chosen, until `one_time_until`."""

    name: str
    roles: tuple[str, ...]
    created: datetime
    disabled: datetime | None = None
    one_time_until: datetime | None = None

    @property
    def one_time(self) -> bool:
        """Whether the password only serves to choose another."""
        return self.one_time_until is not None


class People(Views):
    """The store behind the pages."""

    schema: ClassVar[int] = 1
    schema_table: ClassVar[Table] = SCHEMA_TABLE

    def nobody_yet(self) -> bool:
        """Whether there is no account."""
        with self._reading() as session:
            return session.scalar(select(AccountRow.name).limit(1)) is None

    def add(
        self,
        name: str,
        password: str,
        roles: Collection[str],
        *,
        first: bool = False,
        one_time: bool = False,
    ) -> None:
        """Make an account; `first`: only while there is none. A `one_time` password serves 7 days.

        Raises
        ------
        ConfigError
            A name that is taken or unfit, a short password, no role, or not the first.
        """
        if not name.isprintable() or name != name.strip() or not 0 < len(name) <= LONGEST_NAME:
            raise ConfigError(f"a name has 1 to {LONGEST_NAME} printable characters, found {len(name)}.")
        _some(name, roles)
        hashed = hash_password(password)
        with self._writing() as session:
            if first and session.scalar(select(AccountRow.name).limit(1)) is not None:
                raise ConfigError("there is an account already. Log in, or ask whoever has it.")
            if session.get(AccountRow, name) is not None:
                raise ConfigError(f"there is an account {name} already. Choose another name.")
            session.add(
                AccountRow(
                    name=name,
                    password=hashed,
                    one_time_until=_until(one_time),
                    roles=sorted(roles),
                    created=utc_now(),
                )
            )

    def set_password(self, name: str, password: str, *, one_time: bool = False) -> None:
        """Give an account another password and end its sessions; raise ConfigError if that cannot be."""
        hashed = hash_password(password)
        with self._writing() as session:
            row = _found(session, name)
            row.password, row.one_time_until = hashed, _until(one_time)
            _end_sessions(session, name)

    def set_roles(self, name: str, roles: Collection[str]) -> None:
        """Give an account other roles, which count from its next request on.

        Raises
        ------
        ConfigError
            No role, no such account, or nobody could manage accounts any more.
        """
        _some(name, roles)
        with self._writing() as session:
            row = _found(session, name)
            managed = _manages(row)
            row.roles = sorted(roles)
            if managed:
                _somebody_manages(session, name)

    def disable(self, name: str) -> None:
        """Let an account log in no more and end its sessions; raise ConfigError as `set_roles`."""
        with self._writing() as session:
            row = _found(session, name)
            managed = _manages(row)
            row.disabled = row.disabled or utc_now()
            if managed:
                _somebody_manages(session, name)
            _end_sessions(session, name)

    def enable(self, name: str) -> None:
        """Let an account log in again; raise ConfigError where there is none."""
        with self._writing() as session:
            _found(session, name).disabled = None

    def accounts(self) -> list[Account]:
        """Return all accounts, by name."""
        with self._reading() as session:
            return [_account(row) for row in session.scalars(select(AccountRow).order_by(AccountRow.name))]

    def password_is(self, name: str, password: str, *, now: datetime | None = None) -> bool:
        """Whether this is the password of an account that may log in; takes as long for any name."""
        with self._reading() as session:
            row = session.get(AccountRow, name)
        right = matches(None if row is None else row.password, password)
        if row is None or row.disabled is not None:
            return False
        return right and (row.one_time_until is None or (now or utc_now()) < row.one_time_until)

    def known(self, name: str) -> str:
        """Return the name, or what stands for one that nobody has."""
        with self._reading() as session:
            return STRANGER if session.get(AccountRow, name) is None else name

    def log_in(self, name: str) -> str:
        """Begin a session and return its token."""
        token, now = secrets.token_urlsafe(32), utc_now()
        with self._writing() as session:
            session.add(SessionRow(token_sha256=digest_of(token), account=name, created=now, last_used=now))
        return token

    def log_out(self, token: str) -> None:
        """End a session."""
        with self._writing() as session:
            session.execute(delete(SessionRow).where(SessionRow.token_sha256 == digest_of(token)))

    def session(
        self,
        token: str,
        *,
        idle: timedelta,
        longest: timedelta,
        quiet: bool = False,
        now: datetime | None = None,
    ) -> Account | None:
        """Return who holds this token; None if the session is over. `quiet` does not keep it alive."""
        now = now or utc_now()
        with self._reading() as session:
            row = session.get(SessionRow, digest_of(token))
            account = None if row is None else session.get(AccountRow, row.account)
        if row is None or account is None or account.disabled is not None:
            return None
        if now - row.last_used > idle or now - row.created > longest:
            self.sweep(idle=idle, longest=longest, now=now)
            return None
        if not quiet and (now - row.last_used).total_seconds() > TOUCH_S:
            with self._writing() as session:
                session.execute(
                    update(SessionRow)
                    .where(SessionRow.token_sha256 == row.token_sha256)
                    .values(last_used=now)
                )
        return _account(account)

    def sweep(self, *, idle: timedelta, longest: timedelta, now: datetime | None = None) -> None:
        """End every session that is over by time, and write that down."""
        now = now or utc_now()
        with self._writing() as session:
            over = or_(SessionRow.last_used < now - idle, SessionRow.created < now - longest)
            for row in session.scalars(select(SessionRow).where(over)).all():
                session.delete(row)
                session.add(view_row(row.account, "EXPIRED", "", ""))


def digest_of(token: str) -> str:
    """SHA-256 of a token, as it is kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def _until(one_time: bool) -> datetime | None:
    return utc_now() + ONE_TIME if one_time else None


def _some(name: str, roles: Collection[str]) -> None:
    if not roles:
        raise ConfigError(f"{name} has no role. Give one at least, or disable the account.")


def _found(session: Session, name: str) -> AccountRow:
    row = session.get(AccountRow, name)
    if row is None:
        raise ConfigError(f"there is no account {name}.")
    return row


def _manages(row: AccountRow) -> bool:
    return row.disabled is None and bool(MANAGERS & set(row.roles))


def _somebody_manages(session: Session, name: str) -> None:
    """Refuse a change after which nobody could make or change accounts; the transaction is undone."""
    if not any(map(_manages, session.scalars(select(AccountRow)))):
        raise ConfigError(
            f"{name} is the last who can manage accounts. Give the role {' or '.join(sorted(MANAGERS))} to "
            "somebody else first."
        )


def _end_sessions(session: Session, name: str) -> None:
    session.execute(delete(SessionRow).where(SessionRow.account == name))


def _account(row: AccountRow) -> Account:
    return Account(row.name, tuple(row.roles), row.created, row.disabled, row.one_time_until)
