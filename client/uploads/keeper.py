"""Keeps the worker running beside the pages: started and stopped with them, started again when it ended."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from client.site import Site
from shared.processes import Command, rotating_log

LOG = "uploads.log"
LOG_DAYS = 14
LOOK_S = 0.5
GRACE_S = 4.0


@contextmanager
def kept_worker(site_file: Path, site: Site) -> Iterator[None]:
    """Keep a worker while the block runs; one that dies again and again is started ever more slowly."""
    log = rotating_log(site.make_work() / LOG, days=LOG_DAYS)
    command = Command([sys.executable, "-m", "client.uploads.worker", str(site_file.resolve())], log=log)
    over = threading.Event()

    def keep() -> None:
        while not over.is_set():
            command.keep()
            over.wait(LOOK_S)

    keeper = threading.Thread(target=keep, name="keeper of the worker", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()
        command.stop(grace_s=GRACE_S)
        log.close()
