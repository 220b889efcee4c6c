"""The door before Flower's SuperLink: who may ask for what, how much, how many at once, and how slowly.

Flower 1.41 serves three APIs on one port. Without an account system (which its open version does not have)
anybody who reaches the port may start a run, that is, execute code at the coordinator, and register nodes. So
a middleware stands before all of them: what is not the fleet API needs the coordinator's own token.
"""

import asyncio
import hmac
from collections.abc import Iterator, Mapping

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_HEADER = "x-wardround-token"  # noqa: S105 - the name of a header
CA_PATH = "/wardround/ca.pem"
FLEET_PREFIX = "/v1/fleet/"
CLOSED_FLEET = ("/v1/fleet/register-node", "/v1/fleet/unregister-node")
"""A site becomes a node by its invite only, and stops being one when it is revoked."""
OUTSIDE_AT_ONCE = 128
"""Requests of sites under way, each of which may hold a body in memory; a node has a handful."""
READ_S = 60.0
SLOWEST_BYTES_S = 16 * 1024
"""A body may keep the coordinator waiting `READ_S`, and one more second for each so many bytes that came."""
PIECE_BYTES = 64 * 1024
"""A TLS connection keeps a buffer as large as the largest piece that was ever sent on it."""


class Door:
    """ASGI middleware; outermost, so that a refused request costs nothing further in."""

    def __init__(self, app: ASGIApp, *, token: str, ca: bytes, max_message_bytes: int) -> None:
        self._app = app
        self._token = token.encode()
        self._ca = ca
        self._max_bytes = max_message_bytes
        self._outside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it here."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close"})  # none is offered
            return
        headers = dict(scope["headers"])
        inside = hmac.compare_digest(headers.get(TOKEN_HEADER.encode(), b""), self._token)
        answer = self._answer(scope["path"], headers, inside=inside)
        if answer is not None:
            await answer(scope, receive, send)
            return
        self._outside += not inside
        try:
            bound = _Bound(self._max_bytes, receive, send)
            await self._app(scope, bound.receive, bound.send)
        finally:
            self._outside -= not inside
        if bound.refused is not None and not bound.answered:
            await _refused(bound.refused)(scope, receive, send)

    def _answer(self, path: str, headers: Mapping[bytes, bytes], *, inside: bool) -> Response | None:
        if path == CA_PATH:
            return Response(self._ca, media_type="application/x-pem-file")
        if inside:
            return None  # however many sites there are, the coordinator itself is heard
        if not path.startswith(FLEET_PREFIX) or path in CLOSED_FLEET:
            return _refused(404)  # says nothing of what is behind
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max_bytes:
            return _refused(413)
        if self._outside >= OUTSIDE_AT_ONCE:
            return _refused(503)  # a node tries again
        return None


class _Bound:
    """Counts what is received, as a body sent in chunks declares no length, and how long that took.

    Past a bound the app sees its sender gone. An exception instead would not get this far: Flower answers
    each with an error 500 of its own.
    """

    def __init__(self, max_bytes: int, receive: Receive, send: Send) -> None:
        self._max_bytes = max_bytes
        self._receive = receive
        self._send = send
        self._received_bytes = 0
        self._waited_s = 0.0
        self._more = True
        self.answered = False
        self.refused: int | None = None

    async def receive(self) -> Message:
        if self.refused is None:
            # Once the body is whole, Flower waits here for the other side to leave: as long as it likes.
            message = await (self._part() if self._more else self._receive())
        return {"type": "http.disconnect"} if self.refused is not None else message

    async def _part(self) -> Message:
        left_s = READ_S + self._received_bytes / SLOWEST_BYTES_S - self._waited_s
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            async with asyncio.timeout(left_s):
                message = await self._receive()
        except TimeoutError:
            self.refused = 503  # not 408: a node on a bad line tries again
            return {}
        self._waited_s += loop.time() - began_s
        self._received_bytes += len(message.get("body", b""))
        self._more = message.get("more_body", False)
        if self._received_bytes > self._max_bytes:
            self.refused = 413
        return message

    async def send(self, message: Message) -> None:
        if self.refused is None or self.answered:
            self.answered = True
            for piece in _pieces(message):
                await self._send(piece)


def _pieces(message: Message) -> Iterator[Message]:
    """Cut a part of an answer into pieces; yield any other message as it is."""
    body = message.get("body", b"")
    last = max(0, (len(body) - 1) // PIECE_BYTES * PIECE_BYTES)
    for start in range(0, last, PIECE_BYTES):
        yield {**message, "body": body[start : start + PIECE_BYTES], "more_body": True}
    yield {**message, "body": body[last:]} if last else message


def _refused(status: int) -> Response:
    return PlainTextResponse("", status_code=status)
