"""The worker's process: there while the pages are, one at a time, and started again when it dies."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from client.site import Site
from client.uploads.keeper import kept_worker
from client.uploads.receiving import FOLDER
from client.uploads.worker import LOCK
from shared.errors import BusyError
from shared.files import one_at_a_time, private_folder


def until(holds: Callable[[], bool], limit_s: float = 90.0) -> None:
    ends = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.1)


def test_a_worker_is_there_again_after_a_kill_and_gone_with_the_pages(tmp_path: Path) -> None:
    site_file = tmp_path / "site.yaml"
    site_file.write_text("name: north\ndata: data\nwork: work\n")
    site = Site.read(site_file)
    lock = private_folder(site.make_work() / FOLDER) / LOCK

    def held() -> bool:
        try:
            with one_at_a_time(lock, ""):
                return False
        except BusyError:
            return True

    with kept_worker(site_file, site):
        until(held)
        (pid,) = _workers(site_file)
        os.kill(pid, signal.SIGKILL)
        until(lambda: bool(_workers(site_file)) and pid not in _workers(site_file) and held())
    assert not held()
    assert _workers(site_file) == []


def _workers(site_file: Path) -> list[int]:
    """Processes of this worker that are alive, by what Linux says of them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"client.uploads.worker" in command and str(site_file).encode() in command:
            found.append(int(folder.name))
    return found
