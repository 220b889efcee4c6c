"""Accounts, sessions and views, in one database.

Passwords are hashed by argon2id with the parameters of RFC 9106's second choice (argon2-cffi's default). A
session's token is 256 random bits; the database has its SHA-256 only.
"""

import hashlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Table, func, select, update

from shared import database
from shared.database import utc_now
from shared.errors import ConfigError
from shared.web.tables import SCHEMA_TABLE, AccountRow, SessionRow, ViewRow

SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 1024
LONGEST_NAME = 64
TOUCH_S = 20.0
"""How old the time of the last request may become: not every request has to write."""

_hasher = PasswordHasher()
_NOBODY = _hasher.hash(secrets.token_hex(16))
"""What the password of an unknown name is compared with, so that it takes as long."""


@dataclass(frozen=True)
class Account:
    """One person."""

    name: str
    roles: tuple[str, ...]
    created: datetime
    disabled: datetime | None = None


@dataclass(frozen=True)
class View:
    """One look or change."""

    time: datetime
    account: str
    method: str
    path: str
    address: str


class People(database.Database):
    """The store behind the pages."""

    schema: ClassVar[int] = 1
    schema_table: ClassVar[Table] = SCHEMA_TABLE

    def nobody_yet(self) -> bool:
        """Whether there is no account."""
        with self._reading() as session:
            return session.scalar(select(AccountRow.name).limit(1)) is None

    def add(self, name: str, password: str, roles: Collection[str], *, first: bool = False) -> None:
        """Make an account; `first`: only while there is none.

        Raises
        ------
        ConfigError
            A name that is taken or unfit, a short password, no role, or not the first.
        """
        if not name.isprintable() or name != name.strip() or not 0 < len(name) <= LONGEST_NAME:
            raise ConfigError(f"a name has 1 to {LONGEST_NAME} printable characters, found {len(name)}.")
        if not roles:
            raise ConfigError(f"{name} has no role. Give one at least.")
        hashed = hash_password(password)
        with self._writing() as session:
            if first and session.scalar(select(AccountRow.name).limit(1)) is not None:
                raise ConfigError("there is an account already. Log in, or ask whoever has it.")
            if session.get(AccountRow, name) is not None:
                raise ConfigError(f"there is an account {name} already. Choose another name.")
            session.add(AccountRow(name=name, password=hashed, roles=sorted(roles), created=utc_now()))

    def set_password(self, name: str, password: str) -> None:
        """Give an account another password and end its sessions; raise ConfigError if that cannot be."""
        hashed = hash_password(password)
        with self._writing() as session:
            self._account(session.get(AccountRow, name), name).password = hashed
            session.execute(
                update(SessionRow)
                .where(SessionRow.account == name, SessionRow.ended.is_(None))
                .values(ended=utc_now())
            )

    def set_roles(self, name: str, roles: Collection[str]) -> None:
        """Give an account other roles, which count from its next request on."""
        if not roles:
            raise ConfigError(f"{name} has no role. Give one at least, or disable the account.")
        with self._writing() as session:
            self._account(session.get(AccountRow, name), name).roles = sorted(roles)

    def disable(self, name: str, *, disabled: bool = True) -> None:
        """Let an account log in no more, from now on, or again."""
        with self._writing() as session:
            row = self._account(session.get(AccountRow, name), name)
            row.disabled = utc_now() if disabled else None

    def accounts(self) -> list[Account]:
        """Return all accounts, by name."""
        with self._reading() as session:
            return [_account(row) for row in session.scalars(select(AccountRow).order_by(AccountRow.name))]

    def password_is(self, name: str, password: str) -> bool:
        """Whether this is the password of an account that may log in; takes as long for any name."""
        with self._reading() as session:
            row = session.get(AccountRow, name)
        try:
            _hasher.verify(_NOBODY if row is None else row.password, password[:LONGEST_PASSWORD])
        except (VerificationError, InvalidHashError):
            return False
        return row is not None and row.disabled is None

    def log_in(self, name: str) -> str:
        """Begin a session and return its token."""
        token, now = secrets.token_urlsafe(32), utc_now()
        with self._writing() as session:
            session.add(SessionRow(token_sha256=digest_of(token), account=name, created=now, last_used=now))
        return token

    def log_out(self, token: str) -> None:
        """End a session."""
        with self._writing() as session:
            row = session.get(SessionRow, digest_of(token))
            if row is not None and row.ended is None:
                row.ended = utc_now()

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
        if row is None or account is None or row.ended is not None or account.disabled is not None:
            return None
        if now - row.last_used > idle or now - row.created > longest:
            return None
        if not quiet and (now - row.last_used).total_seconds() > TOUCH_S:
            with self._writing() as session:
                session.execute(
                    update(SessionRow)
                    .where(SessionRow.token_sha256 == row.token_sha256)
                    .values(last_used=now)
                )
        return _account(account)

    def note(self, account: str, method: str, path: str, address: str) -> None:
        """Write down a look or change."""
        with self._writing() as session:
            session.add(ViewRow(time=utc_now(), account=account, method=method, path=path, address=address))

    def views(self, *, most: int, account: str | None = None, before: int | None = None) -> Sequence[View]:
        """Return the newest views, of one account or of all."""
        query = select(ViewRow).order_by(ViewRow.id.desc()).limit(most)
        if account is not None:
            query = query.where(ViewRow.account == account)
        if before is not None:
            query = query.where(ViewRow.id < before)
        with self._reading() as session:
            return [View(v.time, v.account, v.method, v.path, v.address) for v in session.scalars(query)]

    def count_views(self) -> int:
        """How many views were written down."""
        with self._reading() as session:
            return session.scalar(select(func.count()).select_from(ViewRow)) or 0

    @staticmethod
    def _account(row: AccountRow | None, name: str) -> AccountRow:
        if row is None:
            raise ConfigError(f"there is no account {name}.")
        return row


def hash_password(password: str) -> str:
    """Hash a password; raise ConfigError for one that is too short or too long."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise ConfigError(
            f"a password has {SHORTEST_PASSWORD} characters or more (at most {LONGEST_PASSWORD}), "
            f"found {len(password)}. Several words are easy to remember and hard to guess."
        )
    return _hasher.hash(password)


def digest_of(token: str) -> str:
    """SHA-256 of a token, as it is kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def _account(row: AccountRow) -> Account:
    return Account(row.name, tuple(row.roles), row.created, row.disabled)
