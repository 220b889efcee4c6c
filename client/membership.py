"""What a site that has enrolled knows: whose member it is, its key, and the one authority that it trusts.

``work/node/`` holds node.key (never leaves), ca.pem and enrolment.json. While an enrolment is under way
(client/enrolment.py) they lie in ``work/node/pending/``.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import AwareDatetime

from client.site import Site
from shared.config import Config
from shared.errors import ConfigError
from shared.invite import Address, Sha256
from shared.study import Name

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


def _settle(folder: Path) -> None:
    """Put a completed enrolment in place; enrolment.json is written last there and moved last here."""
    pending = folder / "pending"
    if not (pending / STATE).exists():
        return
    for name in (KEY, CA, STATE):
        if (pending / name).exists():
            (pending / name).replace(folder / name)
    shutil.rmtree(pending, ignore_errors=True)
