"""The hospital's pages served by a real process to a real browser that reports everything it dislikes."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from simulations.chromium import executable, launched
from simulations.served_pages import Served, add_account, served
from tests.client.web.sample import ACCOUNT, NAMES, PASSWORD, make
from tests.end_to_end.pages.complaints import AXE, Complaints, serious

NEEDED = "WARDROUND_NEEDS_BROWSER"
WindowOf = Callable[..., Page]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for the tests of a file: while it is there, nothing else can run an event loop."""
    found = executable()
    if found is None:
        told = f"no chromium on the path: apt-get install chromium (with {NEEDED}=1 this is an error)"
        (pytest.fail if os.environ.get(NEEDED) == "1" else pytest.skip)(told)
    with launched(found) as browser:
        yield browser


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hospital with read scans; only ever copied."""
    return make(tmp_path_factory.mktemp("sample")).parent


@pytest.fixture
def site_file(sample: Path, tmp_path: Path) -> Path:
    """The site.yaml of a copy of `sample` that a test may change; nobody has an account."""
    shutil.copytree(sample, tmp_path / "hospital")
    return tmp_path / "hospital" / "site.yaml"


@pytest.fixture
def first_start(site_file: Path) -> Iterator[Served]:
    """Pages at which nobody has an account yet."""
    with served(site_file) as pages:
        yield pages
        assert_quiet(pages)


@pytest.fixture(scope="module")
def pages(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Pages with one account that has every role, for all tests of a file: they add and do not take away."""
    hospital = tmp_path_factory.mktemp("pages") / "hospital"
    shutil.copytree(sample, hospital)
    add_account(hospital / "site.yaml", ACCOUNT, PASSWORD)
    with served(hospital / "site.yaml") as started:
        yield started
        assert_quiet(started)


@pytest.fixture
def own_pages(site_file: Path) -> Iterator[Served]:
    """As `pages`, for one test that changes what others would miss."""
    add_account(site_file, ACCOUNT, PASSWORD)
    with served(site_file) as started:
        yield started
        assert_quiet(started)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Served]:
    """Pages of a hospital that has just begun: no scan, no model, no run."""
    (tmp_path / "begun" / "data").mkdir(parents=True)
    site_file = tmp_path / "begun" / "site.yaml"
    site_file.write_text("name: north\ndata: data\nwork: work\n", encoding="utf-8")
    add_account(site_file, ACCOUNT, PASSWORD)
    with served(site_file) as started:
        yield started
        assert_quiet(started)


def assert_quiet(pages: Served) -> None:
    """Nothing broke in the server, and no case or patient is named in its log."""
    log = pages.log.read_text(encoding="utf-8")
    assert "Traceback" not in log, log
    assert not any(name in log for name in NAMES), log


@pytest.fixture
def window(chromium: Browser) -> Iterator[WindowOf]:
    """Open a window of its own, like another person's browser: `window(pages, dark=True, width=1920)`.

    When the test ends no window may have had anything to complain about, save what the test has taken from
    `complaints_of(page)`.
    """
    with ExitStack() as opened:
        heard: list[Complaints] = []

        def open_window(pages: Served, *, dark: bool = False, width: int = 1280, **options: Any) -> Page:
            context = chromium.new_context(
                base_url=pages.origin,
                viewport={"width": width, "height": 1080 if width > 1280 else 800},
                color_scheme="dark" if dark else "light",
                **options,
            )
            opened.callback(context.close)
            context.set_default_timeout(15_000)
            complaints = Complaints(pages.origin)
            complaints.listen(context)
            heard.append(complaints)
            page = context.new_page()
            _COMPLAINTS[page] = complaints
            return page

        yield open_window
        _COMPLAINTS.clear()
    assert [complaint for complaints in heard for complaint in complaints.found] == []


_COMPLAINTS: dict[Page, Complaints] = {}


def complaints_of(page: Page) -> Complaints:
    """What a page's window has complained about."""
    return _COMPLAINTS[page]


def log_in(page: Page, name: str = ACCOUNT, password: str = PASSWORD) -> None:
    """Log in by the form."""
    page.goto("/login")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


@pytest.fixture
def page(pages: Served, window: WindowOf) -> Page:
    """A window in which somebody with every role has logged in."""
    opened = window(pages)
    log_in(opened)
    return opened


def axe(page: Page) -> list[str]:
    """Run axe-core in the page as it stands; returns its serious and critical findings."""
    page.evaluate(AXE.read_text(encoding="utf-8"))  # by the debugger: the page's own policy refuses scripts
    found = page.evaluate("async () => (await axe.run()).violations")
    return serious(found)
