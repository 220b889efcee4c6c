"""`flower-superlink` behind a door: hospitals reach its fleet API and nothing else.

Flower 1.41 serves three APIs on one port. Without an account system (which its open version does not have)
anybody who reaches the port may start a run, that is, execute code at the coordinator, and register nodes. So
a middleware stands before all of them: what is not the fleet API needs the coordinator's own token.

Run as ``python -m server.superlink TOKEN_FILE CA_FILE MAX_MESSAGE_MB FLOWER-ARGUMENTS...``.
"""

import hmac
import sys
from functools import partial
from pathlib import Path

import uvicorn
from flwr.superlink import extensions
from flwr.superlink.cli.flower_superlink import flower_superlink
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.processes import end_with_stdin

TOKEN_HEADER = "x-wardround-token"  # noqa: S105 - the name of a header
CA_PATH = "/wardround/ca.pem"
FLEET_PREFIX = "/v1/fleet/"
CLOSED_FLEET = ("/v1/fleet/register-node", "/v1/fleet/unregister-node")
"""A site becomes a node by its invite only, and stops being one when it is revoked."""
GRACE_S = 2
"""How long an orderly end waits for requests under way."""


class Door:
    """ASGI middleware; outermost, so that a refused request costs nothing further in."""

    def __init__(self, app: ASGIApp, *, token: str, ca: bytes, max_message_bytes: int) -> None:
        self._app = app
        self._token = token.encode()
        self._ca = ca
        self._max_bytes = max_message_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it here."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close"})  # none is offered
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        bound = _Bound(self._max_bytes, receive, send)
        await self._app(scope, bound.receive, bound.send)
        if bound.exceeded and not bound.answered:
            await _refused(413)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = dict(scope["headers"])
        path: str = scope["path"]
        if path == CA_PATH:
            return Response(self._ca, media_type="application/x-pem-file")
        if hmac.compare_digest(headers.get(TOKEN_HEADER.encode(), b""), self._token):
            return None
        if not path.startswith(FLEET_PREFIX) or path in CLOSED_FLEET:
            return _refused(404)  # says nothing of what is behind
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max_bytes:
            return _refused(413)
        return None


class _Bound:
    """Counts what is received, as a body sent in chunks declares no length.

    Past the bound the app sees its sender gone. An exception instead would not get this far: Flower answers
    each with an error 500 of its own.
    """

    def __init__(self, max_bytes: int, receive: Receive, send: Send) -> None:
        self._left = max_bytes
        self._receive = receive
        self._send = send
        self.answered = False

    @property
    def exceeded(self) -> bool:
        return self._left < 0

    async def receive(self) -> Message:
        if not self.exceeded:
            message = await self._receive()
            self._left -= len(message.get("body", b""))
        return {"type": "http.disconnect"} if self.exceeded else message

    async def send(self, message: Message) -> None:
        if not self.exceeded or self.answered:
            self.answered = True
            await self._send(message)


def _refused(status: int) -> Response:
    return PlainTextResponse("", status_code=status)


def main() -> None:
    """Start flower-superlink with the door in front, through Flower's own hook for middleware."""
    token_file, ca_file, max_message_mb, *rest = sys.argv[1:]
    token = Path(token_file).read_text(encoding="ascii").strip()
    if not token:  # a request without a token would carry the right one
        sys.exit(f"{token_file} is empty, expected the coordinator's token. Restore it from a backup.")
    door = Middleware(
        Door,
        token=token,
        ca=Path(ca_file).read_bytes(),
        max_message_bytes=int(max_message_mb) * 2**20,
    )
    extensions.get_middleware = lambda: (door,)
    # Sites rest between two requests on a connection, and TLS waits for each to take its leave.
    uvicorn.run = partial(uvicorn.run, timeout_graceful_shutdown=GRACE_S)
    sys.argv = ["flower-superlink", *rest]
    end_with_stdin()
    flower_superlink()


if __name__ == "__main__":
    main()
