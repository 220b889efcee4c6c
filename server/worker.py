"""One run's ServerApp in a process of its own: the installed one, in the run's folder at the coordinator.

The SuperLink runs with ``--isolation process`` and launches nothing. `run_app` runs in a fork of a process
that has already imported PyTorch and MONAI; its output is the run's own log.
"""

import hashlib
import logging
import os
import sys
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
from flwr.app import Context
from flwr.common.constant import SubStatus
from flwr.common.serde import context_from_proto, fab_from_proto, run_from_proto
from flwr.proto.runtime_pb2 import PullTaskInputRequest, PushTaskOutputRequest
from flwr.supercore.fab import Fab
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from server.app import app
from server.flower import AppTask, CoordinatorGrid, Link, runtime_client
from server.job import Job
from shared.bundle import bundle_digest
from shared.errors import PolicyError, WardroundError

RUN_LOG = "run.log"
INSTALLED = bundle_digest()
"""Read when the code is: an upgrade of the files under a running coordinator must not change what it runs."""


def run_app(link: Link, task: AppTask, job: Job, told: Connection) -> None:
    """Run to the end; when the run cannot go on, sends the reason through `told` and exits with 1."""
    _log_to(job.folder / RUN_LOG)
    grid = CoordinatorGrid(link, task.token, max_reply_bytes=job.max_reply_bytes)
    client = runtime_client(link, task.token)
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
    heartbeat.start()
    context, run, fab = _input(grid)
    grid.set_run(run)
    try:
        _require_installed(fab)
        context.run_config = job.configuration()
        app(grid, context)
        status, details, code = SubStatus.COMPLETED, "", 0
    except Exception as error:
        told.send(str(error))  # first: the log may be what fails, on a full disk
        if not isinstance(error, WardroundError):
            with suppress(OSError):
                traceback.print_exc()
        logging.getLogger("wardround").error("%s", error)  # noqa: TRY400 - expected ones need no traceback
        status, details, code = SubStatus.FAILED, type(error).__name__, 1
    try:
        client.PushTaskOutput(PushTaskOutputRequest(sub_status=status, details=details))
    except httpx.HTTPError:
        logging.getLogger("wardround").exception("Flower was not told how the run ended")
    heartbeat.stop()
    sys.exit(code)


def _input(grid: CoordinatorGrid) -> tuple[Context, Run, Fab]:
    found = grid._runtime_client.PullTaskInput(PullTaskInputRequest())
    TaskIdentity.task_id = found.task_id
    TaskIdentity.run_id = found.run.run_id
    TaskIdentity.node_id = found.context.node_id
    return context_from_proto(found.context), run_from_proto(found.run), fab_from_proto(found.fab)


def _require_installed(fab: Fab) -> None:
    if not fab.hash_str == hashlib.sha256(fab.content).hexdigest() == INSTALLED:
        raise PolicyError(
            "bundle",
            f"the run holds the app bundle {fab.hash_str[:12]}..., only the installed one, "
            f"{INSTALLED[:12]}..., is run. Start the study again with this version.",
        )


def _log_to(path: Path) -> None:
    handle = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    for stream in (1, 2):
        os.dup2(handle, stream)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True, stream=sys.stderr
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request otherwise
