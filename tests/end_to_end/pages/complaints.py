"""What a window of the browser complains about, and what axe-core finds."""

from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, Response

AXE = Path(__file__).parents[3] / "shared" / "web" / "node_modules" / "axe-core" / "axe.min.js"
ANSWERS = frozenset({"document", "xhr", "fetch"})
"""Kinds of request that a test may have refused on purpose, with a status below 500."""


@dataclass
class Complaints:
    """Everything that a browser's window reports and a good page has none of.

    Console errors (a violated content security policy is one), uncaught errors, requests to anybody but
    `origin`, requests that fail, answers of 500 and above, and scripts, styles or pictures that are refused.
    """

    origin: str
    found: list[str] = field(default_factory=list)

    def listen(self, context: BrowserContext) -> None:
        """Hear all windows of a context."""
        context.on("console", self._console)
        context.on("weberror", lambda error: self.found.append(f"uncaught: {error.error}"))
        context.on("request", self._request)
        context.on("requestfailed", self._failed)
        context.on("response", self._response)

    def take(self) -> list[str]:
        """Return what was found so far and forget it: a test that wants a complaint looks at it."""
        taken, self.found = self.found, []
        return taken

    def _console(self, message: ConsoleMessage) -> None:
        refused = message.text.startswith("Failed to load resource")  # heard as a response too
        if message.type in {"error", "warning"} and not refused and not _is_drivers(message.text):
            self.found.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", "data:", "blob:")):
            self.found.append(f"asked elsewhere: {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page was left, or it is a download
            self.found.append(f"failed: {request.url}: {request.failure}")

    def _response(self, response: Response) -> None:
        bad = response.status >= 400 and response.request.resource_type not in ANSWERS
        if bad or response.status >= 500:
            self.found.append(f"answered {response.status}: {response.url}")


def serious(page_findings: list[dict[str, object]]) -> list[str]:
    """Say axe's serious and critical findings in a line each."""
    found = []
    for one in page_findings:
        if one["impact"] in {"serious", "critical"}:
            nodes = one["nodes"]
            assert isinstance(nodes, list)
            places = "; ".join(f"{node['html'][:160]} ({node['failureSummary'][:200]})" for node in nodes[:3])
            found.append(f"{one['id']}, {one['impact']}: {one['help']}: {places}")
    return found


def _is_drivers(text: str) -> bool:
    """Whether it is the graphics driver that speaks: it reads pixels in software here."""
    return "GL Driver Message" in text or "GPU stall" in text
