"""One run's process: it runs what is installed only, and says why it failed whatever else fails."""

import errno
import hashlib
import json
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flwr.common.constant import SubStatus
from flwr.supercore.fab import Fab

from server import worker
from server.flower import AppTask, Link
from server.job import Job
from shared.bundle import bundle, bundle_digest
from shared.errors import PolicyError, QuorumError
from shared.processes import WarmForks

TASK = AppTask("token", 1, bundle_digest())
FORKS = WarmForks(["server.worker"])
LINK = Link("127.0.0.1:1", b"", "token", b"secret")


def fab(content: bytes, digest: str | None = None) -> Fab:
    return Fab(hash_str=digest or hashlib.sha256(content).hexdigest(), content=content, verifications={})


def test_the_installed_bundle_is_run() -> None:
    worker._require_installed(fab(bundle()))


@pytest.mark.parametrize(
    "other",
    [fab(b"another program"), fab(b"another program", bundle_digest()), fab(bundle(), "0" * 64)],
    ids=["another bundle", "another under the installed one's name", "the installed one under another name"],
)
def test_no_other_bundle_is_run(other: Fab) -> None:
    with pytest.raises(PolicyError, match="only the installed one"):
        worker._require_installed(other)


def too_few() -> None:
    raise QuorumError("one site enrolled, the study's quorum is 2.")


def disk_full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fine() -> None:
    pass


def in_a_process(folder: Path, act: Callable[[], None], content: bytes, told: Connection) -> None:
    """`run_app` as in a fork, with Flower's part played here."""

    class Grid:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def set_run(self, run: object) -> None:
            pass

    class Client:
        def PushTaskOutput(self, request: Any) -> None:  # noqa: N802 - Flower's
            (folder / "pushed.json").write_text(json.dumps([request.sub_status, request.details]))

    def app(grid: object, context: Any) -> None:
        (folder / "configuration.json").write_text(json.dumps(context.run_config))
        act()

    parts: dict[str, Any] = {
        "CoordinatorGrid": Grid,
        "runtime_client": lambda *_: Client(),
        "make_task_heartbeat_fn_http": lambda _: None,
        "HeartbeatSender": lambda _: SimpleNamespace(start=fine, stop=fine),
        "_input": lambda _: (SimpleNamespace(run_config=None), None, fab(content)),
        "app": app,
    }
    for name, part in parts.items():
        setattr(worker, name, part)
    worker.run_app(LINK, TASK, job(folder), told)


def job(folder: Path) -> Job:
    return Job(folder, {7: "north"}, enrol_wait_s=60.0, grace_s=30.0, max_reply_bytes=2**20)


def ended(folder: Path, act: Callable[[], None], content: bytes = b"") -> tuple[int | None, str | None]:
    """How the process ended, and what it said through the pipe."""
    receiver, sender = FORKS.pipe()
    process = FORKS.start(f"{__name__}:in_a_process", folder, act, content or bundle(), sender)
    sender.close()
    process.join(60)
    try:
        return process.exitcode, receiver.recv()
    except EOFError:
        return process.exitcode, None


def pushed(folder: Path) -> list[str]:
    found: list[str] = json.loads((folder / "pushed.json").read_text())
    return found


def test_a_run_that_ends_well_says_nothing_but_that(tmp_path: Path) -> None:
    assert ended(tmp_path, fine) == (0, None)
    assert pushed(tmp_path) == [SubStatus.COMPLETED, ""]
    given = json.loads((tmp_path / "configuration.json").read_text())
    assert given == job(tmp_path).configuration()
    assert (given["enrol_wait_s"], given["grace_s"]) == (60.0, 30.0)


def test_a_run_that_cannot_go_on_tells_its_reason_and_its_log_has_no_traceback(tmp_path: Path) -> None:
    assert ended(tmp_path, too_few) == (1, "one site enrolled, the study's quorum is 2.")
    assert pushed(tmp_path) == [SubStatus.FAILED, "QuorumError"]  # Flower is not told more
    log = (tmp_path / "run.log").read_text()
    assert "the study's quorum is 2" in log
    assert "Traceback" not in log
    assert (tmp_path / "run.log").stat().st_mode & 0o777 == 0o600


def test_an_error_of_ours_leaves_its_traceback_in_the_log(tmp_path: Path) -> None:
    code, reason = ended(tmp_path, disk_full)
    assert (code, reason) == (1, f"[Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}")
    assert "Traceback" in (tmp_path / "run.log").read_text()


def test_on_a_full_disk_where_no_log_can_be_written_the_reason_is_told_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "run.log").symlink_to("/dev/full")
    code, reason = ended(tmp_path, disk_full)
    assert code != 0
    assert reason == f"[Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}"
    assert pushed(tmp_path) == [SubStatus.FAILED, "OSError"]


def test_a_run_with_another_bundle_ends_before_it_begins(tmp_path: Path) -> None:
    code, reason = ended(tmp_path, fine, b"another program")
    assert code == 1
    assert reason is not None
    assert "Start the study again with this version" in reason
    assert not (tmp_path / "configuration.json").exists()
