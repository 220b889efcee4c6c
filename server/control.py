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
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import wraps
from typing import Any, NoReturn

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from server.settings import Coordinator
from server.status import BoardOf, open_runs, snapshot
from server.store import OPEN, Store
from shared import __version__
from shared.control import control_pb2 as pb
from shared.control import control_pb2_grpc
from shared.errors import ConfigError, EnrolmentError, WardroundError
from shared.signing import CLOCK_TOLERANCE, Signed, checked_public_key, proven

ADMIN = "wardround-admin"
"""gRPC metadata key of the admin token."""

LONGEST_FIELD = 4096
PAUSE_S = 1.0
FAILURES_A_MINUTE = 10
THREADS = 64
WATCHERS = 40  # each holds a thread; the rest stay free for everything else
STATUS_EVERY_S = 0.5
STATUS_AT_LEAST_EVERY_S = 10.0

Register = Callable[[str, bytes], int]
"""(site, public key as PEM) -> the id of the node that Flower's SuperLink now knows."""

_log = logging.getLogger("wardround.control")


def _answers(method: Callable[..., Any]) -> Callable[..., Any]:
    """Turn every error of a call into a status and a code."""

    @wraps(method)
    def call(self: "ControlService", request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except Exception as error:
            _abort(context, error)

    return call


def _streams(method: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Do as `_answers`, for a call that answers several times."""

    @wraps(method)
    def call(self: "ControlService", request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        try:
            yield from method(self, request, context)
        except Exception as error:
            _abort(context, error)

    return call


def _abort(context: grpc.ServicerContext, error: Exception) -> NoReturn:
    if isinstance(error, EnrolmentError):
        _log.warning("refused %s: %s", context.peer(), error)
        context.abort(grpc.StatusCode.PERMISSION_DENIED, error.code)
    if isinstance(error, WardroundError):
        _log.warning("refused %s: %s", context.peer(), error)
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, error.code)
    _log.error("a call of %s failed", context.peer(), exc_info=error)
    context.abort(grpc.StatusCode.INTERNAL, WardroundError.code)


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
        self._failures = _Failures()
        self._watchers = threading.BoundedSemaphore(WATCHERS)
        self._ending = threading.Event()

    def end_streams(self) -> None:
        """Let every status stream end, so that the server can stop at once."""
        self._ending.set()

    @_answers
    def Enrol(self, request: pb.EnrolRequest, context: grpc.ServicerContext) -> pb.EnrolReply:  # noqa: N802 - gRPC's name
        """Redeem an invite and register the node."""
        peer = _address(context)
        if self._failures.too_many(peer):
            raise EnrolmentError("too_many", f"more than {FAILURES_A_MINUTE} failed enrolments in a minute")
        try:
            public_key = _proven_key(request)
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

    @_answers
    def Reach(self, request: pb.ReachRequest, context: grpc.ServicerContext) -> pb.ReachReply:  # noqa: N802
        """Tell a site the time, the version and the bundle."""
        self._site(request, context, "Reach")
        return pb.ReachReply(server_time=_now(), version=__version__, bundle=self._bundle)

    @_answers
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

    @_answers
    def GetStudy(self, request: pb.StudyRequest, context: grpc.ServicerContext) -> pb.StudyReply:  # noqa: N802
        """Give out the study of one run, or of all runs that are not over."""
        self._caller(request, context, "GetStudy")
        rows = [self._store.run(request.run)] if request.run else self._store.runs(OPEN)
        return pb.StudyReply(runs=open_runs(rows))

    @_streams
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


class _Failures:
    """Failed enrolments of the last minute, by address."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: defaultdict[str, deque[float]] = defaultdict(deque)

    def add(self, peer: str) -> None:
        with self._lock:
            self._times[peer].append(time.monotonic())

    def too_many(self, peer: str) -> bool:
        with self._lock:
            now = time.monotonic()
            for known in list(self._times):
                times = self._times[known]
                while times and now - times[0] > 60:
                    times.popleft()
                if not times:
                    del self._times[known]
            return len(self._times.get(peer, ())) >= FAILURES_A_MINUTE


def serve(service: ControlService, settings: Coordinator) -> grpc.Server:
    """Start the control service and the health service; raise ConfigError when the port is taken."""
    server = grpc.server(
        ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="control"),
        options=(
            ("grpc.so_reuseport", 0),  # a second coordinator on this port must fail, not share it
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ),
    )
    control_pb2_grpc.add_ControlServicer_to_server(service, server)
    healthy = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    for name in ("", pb.DESCRIPTOR.services_by_name["Control"].full_name):
        healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    credentials = grpc.ssl_server_credentials(
        [(settings.server_key.read_bytes(), settings.server_pem.read_bytes())]
    )
    host = f"[{settings.bind}]" if ":" in settings.bind else settings.bind
    address = f"{host}:{settings.control_port}"
    try:
        if not server.add_secure_port(address, credentials):
            raise RuntimeError(address)  # noqa: TRY301 - what newer versions of grpcio raise by themselves
    except RuntimeError as error:
        raise ConfigError(
            f"the control service cannot listen on {address}. Is another coordinator running? Otherwise "
            "change bind or control_port in coordinator.yaml."
        ) from error
    server.start()
    return server


def _proven_key(request: pb.EnrolRequest) -> bytes:
    """Return the public key of an enrolment whose sender has shown to hold the private one."""
    if (
        max(len(request.code), len(request.site), len(request.public_key), len(request.version))
        > LONGEST_FIELD
    ):
        raise EnrolmentError("proof", "a field of an enrolment is too long")
    try:
        public_key = checked_public_key(request.public_key)
    except ValueError as error:
        raise EnrolmentError("proof", f"not a public key of the agreed kind: {error}") from error
    if not proven(request.proof, code=request.code, site=request.site, public_key=public_key):
        raise EnrolmentError("proof", f"{request.site} did not show that it holds its private key")
    return public_key


def _metadata(context: grpc.ServicerContext) -> dict[str, str | bytes]:
    return dict(context.invocation_metadata())


def _address(context: grpc.ServicerContext) -> str:
    """Name the peer without its port: ipv4:10.0.0.7:51234 is ipv4:10.0.0.7."""
    return context.peer().rpartition(":")[0]


def _now() -> float:
    return datetime.now(UTC).timestamp()
