"""Guessing passwords and first codes, made slow without locking anybody out.

A try counts before the password is looked at, so that many at once are not all admitted; one that was right
is given back. Three things are counted: a name from one address (a person who mistypes), an address (one
machine that goes through many names) and a name (many machines that go for one person). The last two are
wide, so that whoever guesses elsewhere does not keep the person from the own desk.
"""

import ipaddress

from shared.web.pace import Pace

PERIOD_S = 300.0
TRIES_AT_ONE_DESK, TRIES = 5, 50
"""In PERIOD_S: of one name from one address; of one address, and of one name from anywhere."""


class Tries:
    """Tries to log in, of one app."""

    def __init__(self, at_one_desk: int = TRIES_AT_ONE_DESK, others: int = TRIES) -> None:
        self._desk = Pace(at_one_desk, PERIOD_S)
        self._others = Pace(others, PERIOD_S)

    def begin(self, name: str, address: str) -> float:
        """Count a try and return 0, or return the seconds until one is free; then none was counted."""
        taken: list[tuple[Pace, str]] = []
        for pace, key in self._keys(name, address):
            if wait_s := pace.take(key):
                for earlier, its_key in taken:
                    earlier.give_back(its_key)
                return wait_s
            taken.append((pace, key))
        return 0.0

    def was_right(self, name: str, address: str) -> None:
        """Let the try not count."""
        for pace, key in self._keys(name, address):
            pace.give_back(key)

    def _keys(self, name: str, address: str) -> list[tuple[Pace, str]]:
        name, network = name[:64], network_of(address)
        return [
            (self._desk, f"{network} {name}"),
            (self._others, f"address {network}"),
            (self._others, f"name {name}"),
        ]


def network_of(address: str) -> str:
    """Return what one machine cannot leave: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(found if found.version == 4 else ipaddress.ip_network((found, 64), strict=False))
