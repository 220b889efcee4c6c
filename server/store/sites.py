"""Who is a member: invites, redeemed once each, and the sites that came with them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from server.store.database import Database
from server.store.rows import InviteRow, SiteRow
from shared.database import utc_now
from shared.errors import ConfigError, EnrolmentError
from shared.invite import code_digest


class Sites(Database):
    """The sites and their invites."""

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
        now = now or utc_now()
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
        now = now or utc_now()
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

    def withdraw(self, site: str, *, now: datetime | None = None) -> None:
        """Make a site's open invites worthless; raise ConfigError when it has none."""
        with self._writing() as session:
            if not _withdraw(session, site, now or utc_now()):
                raise ConfigError(f"{site} has no open invite. It was used, withdrawn, or never made.")

    def set_site(self, name: str, *, node_id: int | None) -> None:
        """Remember which of Flower's nodes a site is."""
        with self._writing() as session:
            session.execute(update(SiteRow).where(SiteRow.name == name).values(node_id=node_id))

    def revoke(self, site: str, *, now: datetime | None = None) -> None:
        """End a site's membership and its open invites; raise ConfigError when there is nothing to end."""
        now = now or utc_now()
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
            known.last_seen, known.version, known.problem = now or utc_now(), version, problem or None
            return problem


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
