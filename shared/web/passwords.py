"""Passwords: how they are hashed, compared and, for somebody else, made up.

argon2id with the parameters of RFC 9106's second choice (argon2-cffi's default): 64 MiB and some 50 ms each.
Two are worked on at a time, so that many logins at once do not take the machine's memory.
"""

import secrets
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from shared.errors import ConfigError

SHORTEST, LONGEST = 12, 1024
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Of a password that is read off and typed: nothing that looks like something else."""
GROUPS, GROUP = 4, 4

_hasher = PasswordHasher()
_at_a_time = threading.BoundedSemaphore(2)
_NOBODY = _hasher.hash(secrets.token_hex(16))
"""What the password of an unknown name is compared with, so that it takes as long."""


def hash_password(password: str) -> str:
    """Hash a password; raise ConfigError for one that is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise ConfigError(
            f"a password has {SHORTEST} characters or more (at most {LONGEST}), "
            f"found {len(password)}. Several words are easy to remember and hard to guess."
        )
    with _at_a_time:
        return _hasher.hash(password)


def matches(hashed: str | None, password: str) -> bool:
    """Whether this is the password; takes as long where there is no hash to compare with."""
    try:
        with _at_a_time:
            _hasher.verify(hashed or _NOBODY, password[: LONGEST + 1])
    except (VerificationError, InvalidHashError):
        return False
    return hashed is not None


def made_up() -> str:
    """Return a password for somebody else, such as k7qm-2xdp-hw9c-tnb4: 79 random bits."""
    groups = ("".join(secrets.choice(LETTERS) for _ in range(GROUP)) for _ in range(GROUPS))
    return "-".join(groups)
