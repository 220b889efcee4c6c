"""Who sits at this machine, as its account says."""

import getpass
import os


def person() -> str:
    """Name of the account."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run under a number that has no name
        return f"user {os.getuid()}"
