"""Every page, light and dark, narrow and wide: a screenshot, axe-core, no sideways scrolling, no name.

The pictures lie in runs/screenshots/.
"""

from itertools import pairwise

import pytest
from playwright.sync_api import Page

from client.web.app import MENU, PAGES
from simulations.served_pages import ROOT, Served
from tests.client.web.sample import NAMES
from tests.end_to_end.pages.conftest import WindowOf, axe, log_in

SCREENSHOTS = ROOT / "runs" / "screenshots"
ROUTES = {getattr(route, "path", "") for page in PAGES for route in page.router.routes}
PATHS = [item.path for item in MENU if item.path in ROUTES]
INSIDE = ("/worklist/why", "/privacy/log", "/privacy/views")
"""Pages that no menu has."""
LOOKS = [(dark, width) for dark in (False, True) for width in (1280, 1920)]


def look_at(page: Page, name: str) -> list[str]:
    """Keep a picture of the page as it stands; returns what is wrong with it."""
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    width = page.evaluate("innerWidth")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    file = SCREENSHOTS / f"{name}-{'dark' if dark else 'light'}-{width}.png"
    page.screenshot(path=file, full_page=True, animations="disabled")
    wrong = [f"{name}: {finding}" for finding in axe(page)]
    if page.evaluate("document.documentElement.scrollWidth") > width:
        wrong.append(f"{name} scrolls sideways at {width} pixels")
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))")
    if levels[:1] != [1] or levels.count(1) != 1:
        wrong.append(f"{name}: headings are {levels}, expected one h1, first")
    if any(b - a > 1 for a, b in pairwise(levels)):
        wrong.append(f"{name}: headings skip a level: {levels}")
    where = f"{page.title()} {page.url}"
    wrong += [f"{name}: {where} names a patient" for case in NAMES if case in where]
    return wrong


def links_in(page: Page, start: str) -> list[str]:
    links = page.eval_on_selector_all("main a[href]", "all => all.map(a => a.getAttribute('href'))")
    return [link for link in links if link.startswith(start)]


@pytest.mark.parametrize(("dark", "width"), LOOKS)
def test_every_page_is_well_made(dark: bool, width: int, pages: Served, window: WindowOf) -> None:
    page = window(pages, dark=dark, width=width)
    page.goto("/login")
    wrong = look_at(page, "login")
    log_in(page)
    for path in ["/account", *PATHS, *INSIDE]:
        page.goto(path)
        wrong += look_at(page, path.strip("/").replace("/", "-"))
    page.goto("/no-such-page")
    wrong += look_at(page, "error")
    assert wrong == []


@pytest.mark.parametrize("dark", [False, True])
def test_the_form_of_the_first_account_is_well_made(
    dark: bool, first_start: Served, window: WindowOf
) -> None:
    page = window(first_start, dark=dark)
    page.goto("/first")
    assert look_at(page, "first") == []


@pytest.mark.parametrize("dark", [False, True])
def test_an_empty_hospital_is_told_what_to_do(dark: bool, window: WindowOf, empty: Served) -> None:
    page = window(empty, dark=dark)
    log_in(page)
    wrong = []
    for path in PATHS:
        page.goto(path)
        wrong += look_at(page, f"empty-{path.strip('/')}")
    page.goto("/worklist")
    assert page.locator(".empty").count() == 1
    assert wrong == []
