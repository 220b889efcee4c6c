"""How the control service refuses: each error as a status and a code, enrolments without proof, guessing."""

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, NoReturn

import grpc

from shared.control import control_pb2 as pb
from shared.errors import EnrolmentError, WardroundError
from shared.signing import checked_public_key, proven

LONGEST_FIELD = 4096
FAILURES_A_MINUTE = 10

_log = logging.getLogger("wardround.control")


def answers(method: Callable[..., Any]) -> Callable[..., Any]:
    """Turn every error of a call into a status and a code."""

    @wraps(method)
    def call(self: object, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except Exception as error:
            _abort(context, error)

    return call


def streams(method: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Do as `answers`, for a call that answers several times."""

    @wraps(method)
    def call(self: object, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
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


class Failures:
    """Failed enrolments of the last minute, by address."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: defaultdict[str, deque[float]] = defaultdict(deque)

    def add(self, peer: str) -> None:
        """Note one."""
        with self._lock:
            self._times[peer].append(time.monotonic())

    def too_many(self, peer: str) -> bool:
        """Whether this address has to wait; forgets what is older."""
        with self._lock:
            now = time.monotonic()
            for known in list(self._times):
                times = self._times[known]
                while times and now - times[0] > 60:
                    times.popleft()
                if not times:
                    del self._times[known]
            return len(self._times.get(peer, ())) >= FAILURES_A_MINUTE


def proven_key(request: pb.EnrolRequest) -> bytes:
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


def address(context: grpc.ServicerContext) -> str:
    """Name the peer without its port: ipv4:10.0.0.7:51234 is ipv4:10.0.0.7."""
    return context.peer().rpartition(":")[0]
