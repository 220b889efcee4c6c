"""What every answer carries and every request must pass, before anything else looks at it.

- The Host header must be one of ours: a page elsewhere whose name resolves to this machine (DNS rebinding)
  is refused.
- A request that changes something must come from our own pages (OWASP, Cross-Site Request Forgery Prevention:
  Fetch Metadata and Origin). The session's CSRF token is looked at besides (shared/web/visit.py).
- No page loads anything from elsewhere, runs inline code or may be framed by another site.
"""

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # without any, forms would come with the Origin "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), usb=()",
    "Cache-Control": "no-store",  # patients' pictures stay in no browser's cache
}
HSTS = "max-age=31536000"
MISNAMED = "These pages are not served under this name. Add it to pages.names in the configuration.\n"
ELSEWHERE = "This request comes from another site's page.\n"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """The outermost layer; a header that an answer sets itself stands."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], tls: bool) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._always = HEADERS | ({"Strict-Transport-Security": HSTS} if tls else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._always.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        await (refusal or self._app)(scope, receive, guarded)

    def _refusal(self, method: str, headers: Headers) -> PlainTextResponse | None:
        host = headers.get("host", "")
        if host_name(host) not in self._hosts:
            return PlainTextResponse(MISNAMED, status_code=421)
        if method in SAFE:
            return None
        origin = headers.get("origin")
        foreign = headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}
        if foreign or (origin is not None and origin.partition("://")[2] != host):
            return PlainTextResponse(ELSEWHERE, status_code=403)
        return None


def host_name(host: str) -> str:
    """Host header without its port, lower case."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).strip("[]").lower()
