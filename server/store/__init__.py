"""What the coordinator remembers: sites, invites, runs. SQLite by default, PostgreSQL by URL.

What holds here, and is tested on both:
- an invite is redeemed once, whoever else tries at the same moment;
- only the SHA-256 of an invite's code is kept;
- a run moves only along `MOVES`, and two writers cannot both make the same move;
- every time is in UTC and aware of it.

Commands of the command line write the store and `wardround coordinator up` acts on it, so everything that
must survive a crash is here.
"""

from server.store.rows import InviteRow, RunRow, SiteRow
from server.store.runs import (
    FAILED,
    FINISHED,
    MOVES,
    OPEN,
    RUNNING,
    STOPPED,
    STOPPING,
    WAITING,
    Runs,
)
from server.store.sites import Sites

__all__ = [
    "FAILED",
    "FINISHED",
    "MOVES",
    "OPEN",
    "RUNNING",
    "STOPPED",
    "STOPPING",
    "WAITING",
    "InviteRow",
    "RunRow",
    "SiteRow",
    "Store",
]


class Store(Sites, Runs):
    """All that one coordinator remembers."""
