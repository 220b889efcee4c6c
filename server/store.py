"""What the coordinator remembers: sites, invites, runs. SQLite by default, PostgreSQL by URL.

What holds here, and is tested on both:
- an invite is redeemed once, whoever else tries at the same moment;
- only the SHA-256 of an invite's code is kept;
- a run moves only along `MOVES`, and two writers cannot both make the same move;
- every time is in UTC and aware of it.

Commands of the command line write the store and `wardround coordinator up` acts on it, so everything that
must survive a crash is here.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Self

from sqlalchemy import (
    BigInteger,
    Connection,
    DateTime,
    Dialect,
    Engine,
    create_engine,
    event,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator

from shared.errors import ConfigError, EnrolmentError, FederationError
from shared.invite import code_digest

SCHEMA = 1
BUSY_MS = 30_000

WAITING, RUNNING, STOPPING = "waiting", "running", "stopping"
FINISHED, FAILED, STOPPED = "finished", "failed", "stopped"
OPEN = (WAITING, RUNNING, STOPPING)
MOVES = {
    WAITING: {RUNNING, STOPPED, FAILED},
    RUNNING: {WAITING, STOPPING, FINISHED, FAILED},  # waiting again: the coordinator was killed meanwhile
    STOPPING: {STOPPED, FINISHED, FAILED},
    FINISHED: set[str](),
    FAILED: {WAITING},
    STOPPED: {WAITING},
}


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


class Unsigned(TypeDecorator[int]):
    """A 64-bit number without sign, as Flower numbers nodes and runs; databases only have signed ones."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Fold the upper half to negative numbers."""
        return value if value is None or value < 2**63 else value - 2**64

    def process_result_value(self, value: int | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Unfold them."""
        return value if value is None or value >= 0 else value + 2**64


class _Base(DeclarativeBase):
    type_annotation_map = {datetime: UtcTime}  # noqa: RUF012 - as SQLAlchemy wants it


class SchemaRow(_Base):
    """Version of the tables."""

    __tablename__ = "wardround_schema"
    version: Mapped[int] = mapped_column(primary_key=True)


class SiteRow(_Base):
    """A site that has enrolled, once or now."""

    __tablename__ = "sites"
    name: Mapped[str] = mapped_column(primary_key=True)
    public_key: Mapped[bytes]
    node_id: Mapped[int | None] = mapped_column(Unsigned)  # Flower's; None until the node is registered
    enrolled_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    last_seen: Mapped[datetime | None]
    version: Mapped[str | None]
    problem: Mapped[str | None]
    audit_lines: Mapped[int | None] = mapped_column(BigInteger)
    audit_seal: Mapped[str | None]


class InviteRow(_Base):
    """An invite, open or not any more."""

    __tablename__ = "invites"
    code_sha256: Mapped[str] = mapped_column(primary_key=True)
    site: Mapped[str] = mapped_column(index=True)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    withdrawn_at: Mapped[datetime | None]
    replaces: Mapped[bool] = mapped_column(default=False)  # may take the place of an enrolled site's key


class RunRow(_Base):
    """A run that was asked for."""

    __tablename__ = "runs"
    id: Mapped[str] = mapped_column(primary_key=True)
    study_name: Mapped[str]
    study_digest: Mapped[str]
    study_yaml: Mapped[str]
    state: Mapped[str] = mapped_column(index=True)
    reason: Mapped[str | None]
    flower_run: Mapped[int | None] = mapped_column(Unsigned)
    created: Mapped[datetime]
    started: Mapped[datetime | None]
    ended: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)


class Store:
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

    # Sites

    def sites(self) -> Sequence[SiteRow]:
        """Every site that ever enrolled, by name."""
        with self._reading() as session:
            return session.scalars(select(SiteRow).order_by(SiteRow.name)).all()

    def site(self, name: str) -> SiteRow | None:
        """One site, or None."""
        with self._reading() as session:
            return session.get(SiteRow, name)

    def invite(
        self, site: str, *, code: str, expires: datetime, replace: bool = False, now: datetime | None = None
    ) -> None:
        """Remember an invite and withdraw the site's earlier ones.

        Raises ConfigError when the site is enrolled already and `replace` is not set.
        """
        now = now or _now()
        with self._writing() as session:
            known = session.get(SiteRow, site)
            if known is not None and known.revoked_at is None and not replace:
                raise ConfigError(
                    f"{site} has been enrolled since {known.enrolled_at:%Y-%m-%d}. To let it enrol again "
                    f"with a new key: wardround coordinator invite {site} --replace"
                )
            _withdraw(session, site, now)
            session.add(
                InviteRow(code_sha256=code_digest(code), site=site, expires_at=expires, replaces=replace)
            )

    def invites(self) -> Sequence[InviteRow]:
        """Every invite, the soonest to expire first."""
        with self._reading() as session:
            return session.scalars(select(InviteRow).order_by(InviteRow.expires_at)).all()

    def redeem(
        self, code: str, *, site: str, public_key: bytes, version: str, now: datetime | None = None
    ) -> SiteRow:
        """Make `site` a member with this key; atomic, and once per invite.

        The same key may ask again with the same code: its answer was lost on the way. Raises EnrolmentError
        with reason ``unknown``, ``other_site``, ``used``, ``withdrawn``, ``expired`` or ``enrolled``.
        """
        now = now or _now()
        digest = code_digest(code)
        with self._writing() as session:
            taken = session.scalar(
                update(InviteRow)
                .where(
                    InviteRow.code_sha256 == digest,
                    InviteRow.site == site,
                    InviteRow.used_at.is_(None),
                    InviteRow.withdrawn_at.is_(None),
                    InviteRow.expires_at > now,
                )
                .values(used_at=now)
                .returning(InviteRow.replaces)
            )
            known = session.get(SiteRow, site, with_for_update=True)
            if taken is None:
                invite = session.get(InviteRow, digest)
                if known is not None and _repeated(invite, known, site, public_key):
                    return known
                raise _refusal(invite, site)
            if known is None:
                known = SiteRow(name=site)
                session.add(known)
            elif known.revoked_at is None and not taken:
                raise EnrolmentError("enrolled", f"{site} is enrolled; this invite does not replace its key")
            known.public_key, known.enrolled_at, known.version = public_key, now, version
            known.node_id = known.revoked_at = known.last_seen = known.problem = None
            known.audit_lines = known.audit_seal = None
            return known

    def set_site(self, name: str, *, node_id: int | None) -> None:
        """Remember which of Flower's nodes a site is."""
        with self._writing() as session:
            session.execute(update(SiteRow).where(SiteRow.name == name).values(node_id=node_id))

    def revoke(self, site: str, *, now: datetime | None = None) -> None:
        """End a site's membership and its open invites; raise ConfigError when there is nothing to end."""
        now = now or _now()
        with self._writing() as session:
            known = session.get(SiteRow, site, with_for_update=True)
            withdrawn = _withdraw(session, site, now)
            if known is not None and known.revoked_at is None:
                known.revoked_at = now
            elif not withdrawn:
                raise ConfigError(
                    f"{site} is neither enrolled nor invited. `wardround coordinator sites` lists the sites."
                )

    def greet(
        self, site: str, *, version: str, problem: str, lines: int, seal: str, now: datetime | None = None
    ) -> str:
        """Note a site's greeting and return its problem, "audit" before any other.

        The end of its audit log is kept as a witness. A log that became shorter, or that ends otherwise
        at the same length, is the problem "audit"; the witness then stays, so that the problem does.
        """
        with self._writing() as session:
            known = session.get(SiteRow, site, with_for_update=True)
            if known is None:
                raise EnrolmentError("unknown_site", f"{site} is not enrolled")
            backwards = known.audit_lines is not None and (
                lines < known.audit_lines or (lines == known.audit_lines and seal != known.audit_seal)
            )
            if backwards:
                problem = "audit"
            else:
                known.audit_lines, known.audit_seal = lines, seal
            known.last_seen, known.version, known.problem = now or _now(), version, problem or None
            return problem

    # Runs

    def runs(self, states: Sequence[str] = ()) -> Sequence[RunRow]:
        """Return the runs in these states, or all, the oldest first."""
        query = select(RunRow).order_by(RunRow.created, RunRow.id)
        with self._reading() as session:
            return session.scalars(query.where(RunRow.state.in_(states)) if states else query).all()

    def run(self, run: str) -> RunRow:
        """One run; raise ConfigError when there is none."""
        with self._reading() as session:
            found = session.get(RunRow, run)
        if found is None:
            raise ConfigError(f"there is no run {run!r}. `wardround coordinator runs` lists them.")
        return found

    def start(
        self,
        *,
        study_name: str,
        study_digest: str,
        study_yaml: str,
        prepare: Callable[[str], None] = lambda _: None,
    ) -> str:
        """Ask for a run and return its id, such as quickstart-3f9a1c; `prepare` sees it before `up` does."""
        run = f"{study_name}-{secrets.token_hex(3)}"
        row = RunRow(
            id=run,
            study_name=study_name,
            study_digest=study_digest,
            study_yaml=study_yaml,
            state=WAITING,
            created=_now(),
            attempts=0,
        )
        prepare(run)
        with self._writing() as session:
            session.add(row)
        return run

    def resume(self, run: str) -> None:
        """Let a failed or stopped run go on from its newest checkpoint; raise FederationError for another."""
        self.set_run(run, state=WAITING)

    def stop(self, run: str) -> str:
        """Ask for a run to be stopped and return its new state; raise FederationError when it is over."""
        while True:
            target = STOPPED if self.run(run).state == WAITING else STOPPING
            try:
                self.set_run(run, state=target)
            except FederationError:
                if target == STOPPED and self.run(run).state != WAITING:
                    continue  # it was started between the look and the move
                raise
            return target

    def set_run(
        self, run: str, *, state: str, reason: str | None = None, flower_run: int | None = None
    ) -> None:
        """Bring a run into `state`; raise FederationError when it cannot get there from where it is."""
        origins = [origin for origin, targets in MOVES.items() if state in targets]
        values: dict[str, Any] = {"state": state, "reason": reason}
        if state == RUNNING:
            values |= {"started": _now(), "ended": None, "attempts": RunRow.attempts + 1}
        if state not in OPEN:
            values["ended"] = _now()
        if state == WAITING:
            values |= {"flower_run": None, "ended": None}
        if flower_run is not None:
            values["flower_run"] = flower_run
        with self._writing() as session:
            moved = session.scalar(
                update(RunRow)
                .where(RunRow.id == run, RunRow.state.in_(origins))
                .values(**values)
                .returning(RunRow.id)
            )
        if moved is None:
            found = self.run(run).state
            raise FederationError(
                f"{run} is {found} and cannot become {state}: that needs one of {origins}. "
                f"See: wardround coordinator status {run}"
            )

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        engine = self._engine.execution_options(writes=True)
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session


def _now() -> datetime:
    return datetime.now(UTC)


def _withdraw(session: Session, site: str, now: datetime) -> bool:
    """Withdraw a site's open invites; return whether there was any that could still be used."""
    gone = session.scalars(
        update(InviteRow)
        .where(InviteRow.site == site, InviteRow.used_at.is_(None), InviteRow.withdrawn_at.is_(None))
        .values(withdrawn_at=now)
        .returning(InviteRow.expires_at)
    ).all()
    return any(expires > now for expires in gone)


def _repeated(invite: InviteRow | None, known: SiteRow, site: str, public_key: bytes) -> bool:
    """Whether this is the very enrolment that used the invite, asked for again."""
    return (
        invite is not None
        and invite.site == site
        and invite.used_at == known.enrolled_at
        and known.public_key == public_key
        and known.revoked_at is None
    )


def _refusal(invite: InviteRow | None, site: str) -> EnrolmentError:
    if invite is None:
        return EnrolmentError("unknown", f"{site} came with a code that was never given out")
    if invite.site != site:
        return EnrolmentError("other_site", f"{site} came with the invite of {invite.site}")
    if invite.used_at is not None:
        return EnrolmentError("used", f"the invite of {site} was used at {invite.used_at:%Y-%m-%d %H:%M} UTC")
    if invite.withdrawn_at is not None:
        return EnrolmentError("withdrawn", f"the invite of {site} was withdrawn")
    return EnrolmentError(
        "expired", f"the invite of {site} expired at {invite.expires_at:%Y-%m-%d %H:%M} UTC"
    )


def _prepare(session: Session) -> None:
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(7463)"))  # two at once would both make tables
    if not inspect(connection).has_table(SchemaRow.__tablename__):
        _Base.metadata.create_all(connection)
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
