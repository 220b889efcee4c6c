"""How much one browser may ask of this machine: requests a minute, and bytes of a form."""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request, cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.web.pace import Pace
from shared.web.people import digest_of
from shared.web.tell import tell
from shared.web.tries import network_of

LARGEST_FORM_BYTES = 4 * 2**20
STREAMED = "application/octet-stream"
"""Bodies of this type are not read here: the page that takes them counts."""
AN_ADDRESS = 4
"""How many people one address may be: of a practice behind one router, or of a proxy."""


class Bounds:
    """The layer inside the guard.

    A session has `requests_a_minute`, an address AN_ADDRESS times as many, so that a new cookie in each
    request is no way around it. Pages below the paths `large` take more than a form and bound it themselves.
    """

    def __init__(
        self, app: ASGIApp, *, cookie: str, requests_a_minute: int, large: Collection[str] = ()
    ) -> None:
        self._app = app
        self._cookie = cookie
        self._large = tuple(large)
        self._sessions = Pace(requests_a_minute, 60)
        self._addresses = Pace(AN_ADDRESS * requests_a_minute, 60)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if wait_s := self._wait_s(scope, headers):
            answer = tell(
                Request(scope),
                "Too many requests",
                "This browser asks more often than the pages answer. Wait a moment and open the page again. "
                "If several people share one address, raise pages.requests_a_minute in the configuration.",
                429,
                {"Retry-After": f"{wait_s + 1:.0f}"},
            )
            await answer(scope, receive, send)
        elif headers.get("content-type", "").startswith(STREAMED) or scope["path"].startswith(self._large):
            await self._app(scope, receive, send)
        elif _declared(headers) > LARGEST_FORM_BYTES:
            await tell(Request(scope), "Too large", TOO_LARGE, 413)(scope, receive, send)
        else:
            await self._app(scope, _counted(receive), send)

    def _wait_s(self, scope: Scope, headers: Headers) -> float:
        client = scope.get("client")
        wait_s = self._addresses.take(network_of("" if client is None else client[0]))
        token = cookie_parser(headers.get("cookie", "")).get(self._cookie)
        if wait_s or token is None:
            return wait_s
        return self._sessions.take(digest_of(token))


TOO_LARGE = (
    f"A form may have {LARGEST_FORM_BYTES / 1e6:.1f} MB. Scans and tables are sent by the upload page."
)


def _declared(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _counted(receive: Receive) -> Receive:
    """Stop reading where a body without a length grows too large."""
    count = 0

    async def counted() -> Message:
        nonlocal count
        message = await receive()
        count += len(message.get("body", b""))
        if count > LARGEST_FORM_BYTES:
            raise HTTPException(413, TOO_LARGE)
        return message

    return counted
