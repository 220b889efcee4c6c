"""The control service: enrolment, studies, status and health, over gRPC and TLS.

What holds here, and is tested:
- a site is heard only if its call is signed with the key it enrolled with; a revoked one is not heard;
- whoever enrols holds the private key and a good invite;
- a refusal is a gRPC status and a code; no text of an exception goes to the other side;
- a site sees of the sites only itself;
- guessing is slow: a failed enrolment takes a second, and an address may fail ten times a minute.
"""

import hmac
import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import grpc

from server.refusals import FAILURES_A_MINUTE, Failures, address, answers, proven_key, streams
from server.settings import Coordinator
from server.status import BoardOf, open_runs, snapshot
from server.store import OPEN, Store
from shared import __version__
from shared.control import control_pb2 as pb
from shared.control import control_pb2_grpc
from shared.errors import EnrolmentError
from shared.signing import CLOCK_TOLERANCE, Signed

ADMIN = "wardround-admin"
"""gRPC metadata key of the admin token."""

PAUSE_S = 1.0
WATCHERS = 40  # each holds one of the server's threads; the rest stay free for everything else
STATUS_EVERY_S = 0.5
STATUS_AT_LEAST_EVERY_S = 10.0

Register = Callable[[str, bytes], int]
"""(site, public key as PEM) -> the id of the node that Flower's SuperLink now knows."""

_log = logging.getLogger("wardround.control")


class ControlService(control_pb2_grpc.ControlServicer):
    """Answers sites and the coordinator's own command line from the store."""

    def __init__(
        self,
        store: Store,
        settings: Coordinator,
        *,
        bundle: str,
        register: Register,
        online: Callable[[], set[bytes]],
        status: BoardOf,
    ) -> None:
        self._store = store
        self._settings = settings
        self._bundle = bundle
        self._register = register
        self._online = online
        self._status = status
        self._admin_token = settings.admin_token.read_bytes().strip()
        self._failures = Failures()
        self._watchers = threading.BoundedSemaphore(WATCHERS)
        self._ending = threading.Event()

    def end_streams(self) -> None:
        """Let every status stream end, so that the server can stop at once."""
        self._ending.set()

    @answers
    def Enrol(self, request: pb.EnrolRequest, context: grpc.ServicerContext) -> pb.EnrolReply:  # noqa: N802 - gRPC's name
        """Redeem an invite and register the node."""
        peer = address(context)
        if self._failures.too_many(peer):
            raise EnrolmentError("too_many", f"more than {FAILURES_A_MINUTE} failed enrolments in a minute")
        try:
            public_key = proven_key(request)
            site = self._store.redeem(
                request.code, site=request.site, public_key=public_key, version=request.version
            )
        except EnrolmentError:
            self._failures.add(peer)
            self._ending.wait(PAUSE_S)
            raise
        node = site.node_id
        if node is None:
            try:
                node = self._register(site.name, public_key)
                self._store.set_site(site.name, node_id=node)
            except Exception:
                # The site is a member by now. `up` registers nodes that are missing at Flower.
                _log.exception("the node of %s could not be registered yet", site.name)
        _log.info("%s is enrolled", site.name)
        return pb.EnrolReply(
            node_known=node is not None,
            node_id=node or 0,
            fleet=self._settings.fleet,
            server_time=_now(),
            version=__version__,
            bundle=self._bundle,
        )

    @answers
    def Reach(self, request: pb.ReachRequest, context: grpc.ServicerContext) -> pb.ReachReply:  # noqa: N802
        """Tell a site the time, the version and the bundle."""
        self._site(request, context, "Reach")
        return pb.ReachReply(server_time=_now(), version=__version__, bundle=self._bundle)

    @answers
    def Greet(self, request: pb.GreetRequest, context: grpc.ServicerContext) -> pb.GreetReply:  # noqa: N802
        """Note that a site is there, and what is wrong with it."""
        site = self._site(request, context, "Greet")
        now = _now()
        problem = ""
        if abs(request.clock - now) > CLOCK_TOLERANCE.total_seconds():
            problem = "clock"
        if request.version != __version__:
            problem = "version"
        problem = self._store.greet(
            site, version=request.version, problem=problem, lines=request.audit_lines, seal=request.audit_seal
        )
        return pb.GreetReply(server_time=now, version=__version__, bundle=self._bundle, problem=problem)

    @answers
    def GetStudy(self, request: pb.StudyRequest, context: grpc.ServicerContext) -> pb.StudyReply:  # noqa: N802
        """Give out the study of one run, or of all runs that are not over."""
        self._caller(request, context, "GetStudy")
        rows = [self._store.run(request.run)] if request.run else self._store.runs(OPEN)
        return pb.StudyReply(runs=open_runs(rows))

    @streams
    def WatchStatus(self, request: pb.StatusRequest, context: grpc.ServicerContext) -> Iterator[pb.Status]:  # noqa: N802
        """Send the status once, or at each change and at least every ten seconds."""
        site = self._caller(request, context, "WatchStatus")
        if not self._watchers.acquire(blocking=False):
            raise EnrolmentError("too_many", f"more than {WATCHERS} watch already")
        try:
            sent, sent_at = None, 0.0
            while context.is_active() and not self._ending.is_set():
                status = snapshot(
                    self._store, online=self._online(), board=self._status, run=request.run, site=site
                )
                timeless = pb.Status(sites=status.sites, runs=status.runs)
                if timeless != sent or time.monotonic() - sent_at > STATUS_AT_LEAST_EVERY_S:
                    yield status
                    sent, sent_at = timeless, time.monotonic()
                if not request.follow:
                    return
                self._ending.wait(STATUS_EVERY_S)
        finally:
            self._watchers.release()

    def _caller(self, request: Any, context: grpc.ServicerContext, method: str) -> str | None:
        """Name the site that calls; None for the coordinator's own command line."""
        token = _metadata(context).get(ADMIN)
        if token is None:
            return self._site(request, context, method, by_clock=True)
        if not isinstance(token, str) or not hmac.compare_digest(token.encode(), self._admin_token):
            raise EnrolmentError("admin", "the admin token is another one")
        return None

    def _site(
        self, request: Any, context: grpc.ServicerContext, method: str, *, by_clock: bool = False
    ) -> str:
        """Name the site that signed this call; raise EnrolmentError when it is not a member."""
        signed = Signed.read(_metadata(context))
        if signed is None:
            raise EnrolmentError("signature", "a call came without a signature")
        known = self._store.site(signed.site)
        if known is None:
            raise EnrolmentError("unknown_site", f"{signed.site} is not enrolled")
        if not signed.verified(
            known.public_key, method=method, request=request.SerializeToString(deterministic=True)
        ):
            raise EnrolmentError(
                "signature", f"a call in the name of {signed.site} was signed with another key"
            )
        if known.revoked_at is not None:
            raise EnrolmentError("revoked", f"{signed.site} was revoked")
        # A greeting may come with a wrong clock: that is how it is found out.
        if by_clock and abs(datetime.now(UTC) - signed.time) > CLOCK_TOLERANCE:
            raise EnrolmentError("clock", f"the clock of {signed.site} is wrong: {signed.time}")
        return known.name


def _metadata(context: grpc.ServicerContext) -> dict[str, str | bytes]:
    return dict(context.invocation_metadata())


def _now() -> float:
    return datetime.now(UTC).timestamp()
