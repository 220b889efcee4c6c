"""`wardround coordinator up`: one process that keeps SuperLink, control service and runs as the store says.

The store is the truth. Commands write it; this loop compares it with Flower a few times a second and acts:
it registers and unregisters nodes, submits waiting runs, stops those to be stopped, and notes how each ended.
Killed at any moment and started again, it goes on: runs that were running are resumed from their newest
checkpoint.
"""

import logging
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType

import httpx

from server.control import ControlService
from server.control_server import serve
from server.flower import Flower, Link, RegisteredNode, online
from server.job import Job
from server.settings import Coordinator
from server.status import boards
from server.store import FAILED, FINISHED, RUNNING, STOPPED, STOPPING, WAITING, Store
from server.upkeep import CertificateWatch, superlink
from shared.bundle import bundle_digest
from shared.errors import FederationError
from shared.files import write_atomically
from shared.processes import Command, WarmForks, rotating_log

TICK_S = 0.2
NODES_EVERY_S = 2.0
STRANGERS_EVERY_S = 5.0
"""How often to look for runs that nobody asked us for, to refuse them."""


@dataclass
class Supervisor:
    """A coordinator that is up."""

    settings: Coordinator
    say: Callable[[str], None]
    store: Store = field(init=False)
    link: Link = field(init=False)
    _flower: Flower = field(init=False)
    _log: logging.Logger = field(init=False)
    _stopping: bool = False
    _nodes: list[RegisteredNode] = field(default_factory=list)
    _nodes_seen: float = 0.0
    _looked: float = 0.0
    _jobs: dict[str, tuple[BaseProcess, Connection]] = field(default_factory=dict)
    _forks: WarmForks = field(default_factory=lambda: WarmForks(["server.worker"]))

    def __post_init__(self) -> None:
        """Find the runs' boards."""
        self._board = boards(self.settings)
        self._certificate = CertificateWatch(self.settings, self._tell)

    def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        settings = self.settings
        self._log = logging.getLogger("wardround")
        self._log.addHandler(rotating_log(settings.logs / "coordinator.log", days=settings.log_days))
        self._log.setLevel(logging.INFO)
        self._log.propagate = False  # what a person should see is said, once
        with settings.lock():
            self._forks.warm_up()
            self._prepare()
            process = superlink(settings)
            service = self._service()
            control = serve(service, settings)
            try:
                self._loop(process)
            finally:
                service.end_streams()
                control.stop(grace=1.0)
                for job, _ in self._jobs.values():
                    job.terminate()
                process.stop()
                self._flower.close()
                waiting = f"; {len(self._jobs)} run(s) go on at the next `up`" if self._jobs else ""
                self._tell(f"stopped{waiting}")

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        if self._stopping:
            sys.exit(1)
        self._stopping = True

    def _prepare(self) -> None:
        settings = self.settings
        self._certificate.look()
        self.store = Store.open(settings.database_url)
        self.link = Link(
            settings.local_fleet,
            settings.ca_pem.read_bytes(),
            settings.superlink_token.read_text(encoding="ascii").strip(),
            settings.superexec_secret.read_bytes(),
        )
        self._flower = Flower(self.link)

    def _service(self) -> ControlService:
        return ControlService(
            self.store,
            self.settings,
            bundle=bundle_digest(),
            online=self._online,
            status=self._board,
            register=self._flower.register,
        )

    def _loop(self, process: Command) -> None:
        ready = False
        while not self._stopping:
            code = process.keep()
            if code is not None:
                self._tell(f"flower-superlink ended with code {code} and is started again; see superlink.log")
            try:
                if not ready:
                    self._nodes = self._flower.nodes()
                    self._go_on_after_a_kill()
                    ready = True
                    self._tell(f"up: hospitals reach {self.settings.fleet} and {self.settings.control}")
                self._reconcile_nodes()
                self._reconcile_runs()
                self._take_tasks()
            except httpx.HTTPError as error:
                if ready:
                    self._log.warning("flower-superlink did not answer: %s", error)
            except FederationError as error:
                self._log.info("%s", error)  # somebody stopped a run in the same moment: look again
            self._collect()
            self._certificate.look_again()
            time.sleep(TICK_S)

    def _go_on_after_a_kill(self) -> None:
        for run in self.store.runs((RUNNING, STOPPING)):
            if run.flower_run is not None:
                self._flower.stop(run.flower_run)  # answers to its messages must not be kept
            if run.state == RUNNING:
                self.store.set_run(run.id, state=WAITING, reason="the coordinator was restarted")
                self._tell(f"{run.id}: goes on from its newest checkpoint")

    def _reconcile_nodes(self) -> None:
        if time.monotonic() - self._nodes_seen < NODES_EVERY_S:
            return
        self._nodes = self._flower.nodes()
        registered = {node.public_key: node for node in self._nodes}
        wanted = {site.public_key: site for site in self.store.sites() if site.revoked_at is None}
        for key, node in registered.items():
            if key not in wanted:
                self._flower.unregister(node.node)
                self._tell(f"node {node.node} is turned away from now on")
        for key, site in wanted.items():
            node_id = registered[key].node if key in registered else self._flower.register(site.name, key)
            if node_id != site.node_id:
                self.store.set_site(site.name, node_id=node_id)
        self._nodes_seen = time.monotonic()

    def _reconcile_runs(self) -> None:
        for run in self.store.runs((WAITING,)):
            folder = self.settings.run_folder(run.id)
            folder.mkdir(parents=True, exist_ok=True)
            with write_atomically(folder / "study.yaml") as path:
                path.write_text(run.study_yaml, encoding="utf-8")
            flower_run = self._flower.start(run.id)
            self.store.set_run(run.id, state=RUNNING, flower_run=flower_run)
            self._tell(f"{run.id}: started")
        for run in self.store.runs((STOPPING,)):
            if run.flower_run is not None:
                self._flower.stop(run.flower_run)
            if run.id in self._jobs:
                process, _ = self._jobs.pop(run.id)
                process.terminate()
                process.join()
            self.store.set_run(run.id, state=STOPPED, reason="stopped by the coordinator")
            self._tell(f"{run.id}: stopped")

    def _take_tasks(self) -> None:
        expected = any(run.id not in self._jobs for run in self.store.runs((RUNNING,)))
        if not expected and time.monotonic() - self._looked < STRANGERS_EVERY_S:
            return
        self._looked = time.monotonic()
        task = self._flower.next_task()
        if task is None:
            return
        run = next((r for r in self.store.runs((RUNNING,)) if r.flower_run == task.flower_run), None)
        if run is None or task.fab_hash != bundle_digest():
            why = "unknown run" if run is None else "not the installed app bundle"
            self._flower.finish(task, reason=why)
            self._tell(f"refused to execute Flower's run {task.flower_run}: {why} ({task.fab_hash[:12]}...)")
            return
        receiver, sender = self._forks.pipe()
        process = self._forks.start("server.worker:run_app", self.link, task, self._job(run.id), sender)
        sender.close()
        self._jobs[run.id] = (process, receiver)

    def _job(self, run: str) -> Job:
        names = {
            site.node_id: site.name
            for site in self.store.sites()
            if site.revoked_at is None and site.node_id is not None
        }
        settings = self.settings
        return Job(
            settings.run_folder(run),
            names,
            enrol_wait_s=60.0 * settings.enrol_wait_minutes,
            grace_s=settings.grace_seconds,
            max_reply_bytes=settings.max_message_mb * 2**20,
        )

    def _collect(self) -> None:
        for run, (process, told) in list(self._jobs.items()):
            if process.is_alive():
                continue
            del self._jobs[run]
            code = process.exitcode
            if code == 0:
                self.store.set_run(run, state=FINISHED)
                self._tell(f"{run}: finished")
                continue
            reason = f"its process ended with code {code}; see its run.log"
            with suppress(EOFError):  # it died without a word
                if told.poll():
                    reason = told.recv()
            self.store.set_run(run, state=FAILED, reason=reason)
            self._tell(f"{run}: failed: {reason}")

    def _online(self) -> set[bytes]:
        return online(self._nodes)

    def _tell(self, text: str) -> None:
        self._log.info("%s", text)
        self.say(text)
