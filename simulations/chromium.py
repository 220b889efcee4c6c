"""Debian's Chromium under playwright, which only tests and benchmarks have."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FLAGS = (
    *("--no-sandbox", "--no-first-run", "--disable-quic"),  # it has no sandbox where root starts it
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),  # WebGL without a GPU
)


def executable() -> str | None:
    """Path of Chromium; None where the machine has none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def launched(executable: str) -> Iterator["Browser"]:
    """Run a headless browser until the block ends."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not there where nobody tests

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()
