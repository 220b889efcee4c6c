"""Changes of accounts, each written down with who made it: for the page /people and for the commands."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from shared.errors import ConfigError
from shared.web.passwords import made_up
from shared.web.people import People


@dataclass(frozen=True)
class Keeper:
    """Somebody who may change accounts; `roles` are those that the product has, with their words.

    Everything raises ConfigError where it cannot be done.
    """

    people: People
    roles: Mapping[str, str]
    by: str
    address: str = ""

    def add(self, name: str, roles: Collection[str], password: str | None = None) -> str | None:
        """Make an account; without a password, return one that is made up and serves once."""
        self._known(roles)
        one_time = made_up() if password is None else None
        self.people.add(name, password or one_time or "", roles, one_time=one_time is not None)
        self._note(name, f"made, {', '.join(sorted(roles))}")
        return one_time

    def set_password(self, name: str, password: str | None = None) -> str | None:
        """Give another password and end all sessions; without one, return one that serves once."""
        one_time = made_up() if password is None else None
        self.people.set_password(name, password or one_time or "", one_time=one_time is not None)
        self._note(name, "another password")
        return one_time

    def set_roles(self, name: str, roles: Collection[str]) -> None:
        """Give other roles."""
        self._known(roles)
        self.people.set_roles(name, roles)
        self._note(name, ", ".join(sorted(roles)))

    def disable(self, name: str) -> None:
        """Let an account log in no more, from its next request on."""
        self.people.disable(name)
        self._note(name, "disabled")

    def enable(self, name: str) -> None:
        """Let an account log in again."""
        self.people.enable(name)
        self._note(name, "enabled")

    def _known(self, roles: Collection[str]) -> None:
        if unknown := sorted(set(roles) - set(self.roles)):
            raise ConfigError(f"there is no role {unknown[0]!r}. Choose from {', '.join(self.roles)}.")

    def _note(self, name: str, what: str) -> None:
        self.people.note(self.by, "ACCOUNT", f"/people {name}: {what}", self.address)
