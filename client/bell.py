"""What wakes the node's loop: a signal, a line that the SuperNode printed, the end of a process.

A pipe to oneself, because a signal handler may interrupt anything: a lock that the interrupted code holds
(threading.Event has one) would never be given back. Writing to a pipe takes no lock.
"""

import contextlib
import os
from collections.abc import Iterable
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

CHUNK_BYTES = 4096


class Bell:
    """Rung from a signal handler or any thread, heard by one loop; rung before the wait, it is heard too."""

    def __init__(self) -> None:
        self._heard: Connection
        self._rung: Connection
        self._heard, self._rung = Pipe(duplex=False)
        for end in (self._heard, self._rung):
            os.set_blocking(end.fileno(), False)  # a full pipe has rung already

    def ring(self) -> None:
        """Wake whoever waits, now or next; never blocks."""
        with contextlib.suppress(OSError):
            os.write(self._rung.fileno(), b"!")

    def wait(self, limit_s: float, others: Iterable[int] = ()) -> None:
        """Wait for the bell or for one of `others` (descriptors, such as a process's sentinel)."""
        wait([self._heard, *others], timeout=limit_s)
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self._heard.fileno(), CHUNK_BYTES)) == CHUNK_BYTES:
                pass
