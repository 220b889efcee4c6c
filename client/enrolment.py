"""Becoming a member of a federation: one invite, one key pair made here, one pinned authority.

Interrupted at any moment, the same command goes on with the same key, and a coordinator that has seen this
key and this invite before gives the same answer.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

from client.audit import Audit
from client.control import fetch_authority, redeem
from client.gate import Gate
from client.membership import CA, KEY, STATE, Enrolment, Membership, node_folder
from client.site import Site
from shared import __version__
from shared.errors import ConfigError, EnrolmentError
from shared.files import write_atomically
from shared.invite import Invite
from shared.signing import new_key, public_bytes, read_key
from shared.wire import Record


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


def _private(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    return folder
