"""Becoming a member of a federation: one invite, one key pair made here, one pinned authority.

``work/node/`` holds node.key (never leaves), ca.pem and enrolment.json. While an enrolment is under way
they lie in ``work/node/pending/``: interrupted at any moment, the same command goes on with the same key,
and a coordinator that has seen this key and this invite before gives the same answer.
"""

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from pydantic import AwareDatetime

from client.audit import Audit
from client.control import fetch_authority, redeem
from client.gate import Gate
from client.site import Site
from shared import __version__
from shared.config import Config
from shared.errors import ConfigError, EnrolmentError
from shared.files import write_atomically
from shared.invite import Address, Invite, Sha256
from shared.signing import new_key, public_bytes, read_key
from shared.study import Name
from shared.wire import Record

KEY, CA, STATE = "node.key", "ca.pem", "enrolment.json"


class Membership(Config):
    """What enrolment.json holds; `node_id` is 0 where Flower did not know the node yet."""

    site: Name
    control: Address
    fleet: Address
    ca_sha256: Sha256
    node_id: int
    enrolled: AwareDatetime


@dataclass(frozen=True)
class Enrolment:
    """A site's membership and where its key and its authority lie."""

    membership: Membership
    folder: Path

    @classmethod
    def load(cls, site: Site) -> Self | None:
        """Read the membership of `site`; None when it has none."""
        folder = node_folder(site)
        _settle(folder)
        path = folder / STATE
        if not path.exists():
            return None
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read: {error}. Enrol this site again.") from error
        found = Membership.parse(values, str(path))
        if found.site != site.name:
            raise ConfigError(
                f"{path} is the enrolment of {found.site}, but this site is named {site.name}. Give each "
                "site a work folder of its own, or write the old name into the site's file."
            )
        return cls(found, folder)

    @property
    def site(self) -> str:
        """Name of the site."""
        return self.membership.site

    @property
    def control(self) -> str:
        """host:port of the control service."""
        return self.membership.control

    @property
    def fleet(self) -> str:
        """host:port of Flower's SuperLink."""
        return self.membership.fleet

    @property
    def node_id(self) -> int:
        """Flower's number of this node; 0 if it had none yet when the site enrolled."""
        return self.membership.node_id

    @property
    def private_key(self) -> Path:
        """Key file of this node, in OpenSSH format."""
        return self.folder / KEY

    @property
    def ca_pem(self) -> Path:
        """Certificate of the only authority to trust."""
        return self.folder / CA


def node_folder(site: Site) -> Path:
    """Folder of the node's key and membership."""
    return site.work / "node"


def enrol(site: Site, invite: str, *, replace: bool = False) -> Enrolment:
    """Redeem `invite`: make the key, pin the authority, become a member.

    With `replace` an enrolled site gets a new key and membership; the old ones are gone once the new ones are
    complete. Raises EnrolmentError, whose reason says why: what `Invite.read` finds, ``other_site``,
    ``already_enrolled``, ``unreachable``, ``fingerprint``, or what the coordinator refuses; FederationError
    when the coordinator cannot answer.
    """
    read = Invite.read(invite)
    if read.site != site.name:
        raise EnrolmentError(
            "other_site",
            f"this invite is for {read.site}, but the site's file names {site.name}. Correct one.",
        )
    known = Enrolment.load(site)
    if known is not None and not replace:
        raise EnrolmentError(
            "already_enrolled",
            f"{site.name} has been enrolled with {known.control} since "
            f"{known.membership.enrolled:%Y-%m-%d}. To enrol it anew, with a new key, add --replace.",
        )
    ca_pem = fetch_authority(read.fleet, read.ca_sha256)
    site.make_work()  # before anything is put into it: it is open to its owner only
    pending = _private(node_folder(site)) / "pending"
    key_file = _private(pending) / KEY
    key = read_key(key_file) if key_file.exists() else new_key(key_file)
    audit = Audit(site.work / "audit.jsonl")
    about = {"site": site.name, "public_key": public_bytes(key).decode("ascii"), "version": __version__}
    released = Gate(site.policy, audit).release(Record("membership", about))
    admitted = redeem(released, code=read.code, key_file=key_file, control=read.control, ca_pem=ca_pem)
    with write_atomically(pending / CA, private=True) as path:
        path.write_bytes(ca_pem)
    membership = Membership(
        site=site.name,
        control=read.control,
        fleet=admitted.fleet,
        ca_sha256=read.ca_sha256,
        node_id=admitted.node_id,
        enrolled=datetime.now(UTC),
    )
    with write_atomically(pending / STATE, private=True) as path:
        path.write_text(json.dumps(membership.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
    loaded = Enrolment.load(site)
    if loaded is None:
        raise ConfigError(f"{node_folder(site)} was emptied meanwhile. Enrol again.")
    return loaded


def _settle(folder: Path) -> None:
    """Put a completed enrolment in place; enrolment.json is written last there and moved last here."""
    pending = folder / "pending"
    if not (pending / STATE).exists():
        return
    for name in (KEY, CA, STATE):
        if (pending / name).exists():
            (pending / name).replace(folder / name)
    shutil.rmtree(pending, ignore_errors=True)


def _private(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    return folder
