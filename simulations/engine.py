"""Two ways to run the same ServerApp and ClientApp on one machine: inline, and Flower's Ray backend."""

import logging
import math
import os
import queue
import secrets
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.app.user_config import UserConfigValue
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from client.app import SITES_VARIABLE

RunConfig = Mapping[str, UserConfigValue]
WAIT_S = 0.5  # as long as server.messages would sleep at most, so that it never sleeps past a reply
MOST_WAITING = 8
"""Replies that may wait to be pulled; who would add more waits too, so that memory is flat."""
CLIENT_APP_FAILED = 2  # flwr.common.constant.ErrorCode.CLIENT_APP_RAISED_EXCEPTION


class InlineGrid(Grid):
    """Flower's Grid inside this process: one thread a site, at most `workers` of them computing at a time.

    A site's messages are answered in order. PyTorch releases the interpreter lock while it computes, so that
    threads keep the cores as busy as processes would, without starting one or copying a model. However many
    sites there are, at most `workers` compute and `MOST_WAITING` replies wait.
    """

    def __init__(self, app: ClientApp, site_files: Sequence[Path], *, workers: int) -> None:
        self._app = app
        self._slots = threading.Semaphore(workers)
        self._lock = threading.Condition()
        self._replies: dict[str, Message] = {}
        self._closed = False
        self._run_id = secrets.randbits(62)
        _identify(self._run_id)
        self._inboxes: dict[int, queue.SimpleQueue[Message | None]] = {}
        for node, path in enumerate(site_files, start=1):
            context = Context(self._run_id, node, {"site": str(path)}, RecordDict(), {})
            self._inboxes[node] = queue.SimpleQueue()
            # A daemon: a site that is late for ever must not keep the process alive.
            threading.Thread(target=self._serve, args=(node, context), daemon=True).start()

    def close(self) -> None:
        """Let the sites' threads end after the message they are at."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
        for inbox in self._inboxes.values():
            inbox.put(None)

    def set_run(self, run: Run) -> None:
        """Not used inline: there is one run."""

    @property
    def run(self) -> Run:
        """The one run."""
        return Run.create_empty(self._run_id)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Part of Flower's interface."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Node numbers, from 1."""
        return list(self._inboxes)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Hand each message to its site's thread."""
        ids = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = str(uuid.uuid4())  # as Flower's own InMemoryGrid does
            ids.append(message.metadata.message_id)
            self._inboxes[message.metadata.dst_node_id].put(message)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Take the replies that have arrived; waits up to WAIT_S for the first.

        Ask for everything that is awaited: a reply that is there and not asked for is late, and dropped.
        """
        wanted = set(message_ids)
        with self._lock:
            self._lock.wait_for(lambda: self._arrived(wanted), timeout=WAIT_S)
            found, self._replies = list(self._replies.values()), {}
            self._lock.notify_all()
        return found

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Wait for all replies, or for those that arrive within `timeout` seconds.

        Part of Flower's interface; our own server pulls replies one by one instead.
        """
        waiting = set(self.push_messages(messages))
        ends = math.inf if timeout is None else time.monotonic() + timeout
        replies: list[Message] = []
        while waiting and time.monotonic() < ends:
            arrived = list(self.pull_messages(waiting))
            waiting -= {message.metadata.reply_to_message_id for message in arrived}
            replies += arrived
        return replies

    def _arrived(self, wanted: set[str]) -> bool:
        """Drop the replies that nobody waits for; whether one is left. The lock is held."""
        for late in self._replies.keys() - wanted:
            del self._replies[late]
            self._lock.notify_all()
        return bool(self._replies)

    def _serve(self, node: int, context: Context) -> None:
        inbox = self._inboxes[node]
        while (message := inbox.get()) is not None:
            with self._slots:  # held until there is room for the reply
                reply = self._answer(message, context)
                with self._lock:
                    self._lock.wait_for(lambda: self._closed or len(self._replies) < MOST_WAITING)
                    if self._closed:
                        return
                    self._replies[message.metadata.message_id] = reply
                    self._lock.notify_all()
            del message, reply

    def _answer(self, message: Message, context: Context) -> Message:
        try:
            return self._app(message, context)
        except Exception:
            logging.getLogger("wardround.engine").exception("a ClientApp let an exception out")
            return Message(Error(CLIENT_APP_FAILED), reply_to=message)


def run_config(
    study_file: Path,
    out: Path,
    *,
    sites: int,
    engine: str,
    resume: bool = False,
    start: Path | None = None,
    statistics: bool = False,
) -> RunConfig:
    """Write the run configuration that server/app.py reads."""
    return {
        "study": str(study_file.resolve()),
        "out": str(out.resolve()),
        "sites": sites,
        "engine": engine,
        "resume": resume,
        "start": "" if start is None else str(start.resolve()),
        "statistics": statistics,
    }


def run_inline(
    server: ServerApp, client: ClientApp, site_files: Sequence[Path], *, config: RunConfig, workers: int
) -> None:
    """Run both apps in this process."""
    grid = InlineGrid(client, site_files, workers=workers)
    try:
        server(grid, Context(1, 0, {}, RecordDict(), dict(config)))
    finally:
        grid.close()


def run_ray(
    server: ServerApp,
    client: ClientApp,
    site_files: Sequence[Path],
    *,
    config: RunConfig,
    workers: int,
    threads: int,
) -> None:
    """Run both apps under Flower's simulation runtime; its actors are processes of their own."""
    from flwr.simulation import run_simulation  # noqa: PLC0415 - imports Ray, which takes seconds

    os.environ[SITES_VARIABLE] = ":".join(str(path.resolve()) for path in site_files)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    backend: dict[str, dict[str, Any]] = {
        "init_args": {"num_cpus": workers * threads, "include_dashboard": False, "log_to_driver": False},
        "client_resources": {"num_cpus": threads, "num_gpus": 0.0},
    }
    with warnings.catch_warnings():
        # run_simulation announces its successor, `flwr run`, which takes a project and no app objects.
        warnings.simplefilter("ignore")
        run_simulation(_configured(server, config), client, len(site_files), backend_config=backend)


def _configured(server: ServerApp, config: RunConfig) -> ServerApp:
    # run_simulation has no argument for the run configuration.
    wrapper = ServerApp()

    @wrapper.main()
    def main(grid: Grid, context: Context) -> None:
        context.run_config.update(config)
        server(grid, context)

    return wrapper


def _identify(run_id: int) -> None:
    # Flower's Message reads who creates it from here; its own simulation sets it in the same way.
    TaskIdentity.run_id = run_id
    TaskIdentity.node_id = 1
    TaskIdentity.task_id = 1


Engine = Callable[[ServerApp, ClientApp, Sequence[Path], RunConfig], None]


def engine(name: str, *, workers: int, threads: int) -> Engine:
    """Look up the engine called `name`: inline or ray."""
    if name == "inline":
        return lambda server, client, files, config: run_inline(
            server, client, files, config=config, workers=workers
        )
    return lambda server, client, files, config: run_ray(
        server, client, files, config=config, workers=workers, threads=threads
    )
