"""A reader's day in a real browser: the list, a scan, claims, a verdict, exports."""

import io
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from simulations.served_pages import Served, add_account
from tests.client.web.sample import NAMES, PASSWORD
from tests.end_to_end.pages.conftest import WindowOf, log_in
from tests.end_to_end.pages.test_looks import LOOKS, look_at


def open_scan(page: Page, number: int = 0) -> None:
    page.goto("/worklist")
    page.locator("tbody th a").nth(number).click()
    expect(page.locator("#viewer")).to_have_attribute("data-ready", "true", timeout=60_000)


def picture(page: Page) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    """What the canvas shows: (height, width, RGB)."""
    shot = page.locator("#canvas").screenshot(animations="disabled")
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(np.int16)


@pytest.mark.parametrize(("dark", "width"), LOOKS)
def test_the_page_of_a_scan_is_well_made(dark: bool, width: int, pages: Served, window: WindowOf) -> None:
    page = window(pages, dark=dark, width=width)
    log_in(page)
    open_scan(page)
    assert look_at(page, "scan") == []


def test_the_overlay_is_drawn_where_the_finding_is(page: Page) -> None:
    open_scan(page)
    page.locator("[data-jump='1']").first.click()
    page.wait_for_timeout(500)
    shown = picture(page)
    coloured = np.ptp(shown, axis=2) > 60  # the scan itself is grey
    assert coloured.sum() > 100
    page.keyboard.press("o")
    expect(page.locator("#viewer")).to_have_attribute("data-overlay", "none")
    page.wait_for_timeout(500)
    bare = picture(page)
    assert (np.ptp(bare, axis=2) > 60).sum() < coloured.sum() / 2
    assert bare.max() > 100  # and the scan is still there


def test_the_list_is_walked_and_a_scan_opened_by_keys(page: Page) -> None:
    page.goto("/worklist")
    expect(page.locator("#list")).to_have_attribute("data-ready", "true")
    links = page.locator("tbody th a")
    for key, at in (("j", 0), ("j", 1), ("j", 2), ("k", 1)):
        page.keyboard.press(key)
        expect(links.nth(at)).to_be_focused()
    address = links.nth(1).get_attribute("href")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{address}")
    assert not any(name in f"{page.url} {page.title()}" for name in NAMES)


def test_of_two_readers_one_gets_the_scan_and_the_other_is_told(own_pages: Served, window: WindowOf) -> None:
    add_account(own_pages.site_file, "bashir", PASSWORD, "reader")
    one, two = window(own_pages), window(own_pages)
    log_in(one)
    log_in(two, "bashir")
    address = two.locator("tbody th a").first.get_attribute("href")
    assert address is not None
    two.goto(address)  # sees it waiting, then the other is sooner
    one.locator("button[data-key=c]").first.click()
    expect(one.locator("tr.mine")).to_have_count(1)
    two.get_by_role("button", name="Claim").click()
    expect(two.get_by_role("alert").first).to_contain_text("amal")
    two.goto("/worklist")
    expect(two.locator("tbody")).to_contain_text("read by amal")


def test_a_verdict_is_kept_and_the_mask_is_exported_under_the_pseudonym(
    own_pages: Served, window: WindowOf, tmp_path: Path
) -> None:
    page = window(own_pages, accept_downloads=True)
    log_in(page)
    open_scan(page)
    page.get_by_role("button", name="Claim").click()
    page.get_by_label("Note, stays here").fill("seen")
    page.get_by_role("button", name="Modify").click()
    expect(page.locator(".said").last).to_contain_text("You said to be changed")
    with page.expect_download() as coming:
        page.locator("a[href*='/export/']", has_text="NIfTI").first.click()
    name = coming.value.suggested_filename
    assert not any(case in name for case in NAMES)
    coming.value.save_as(tmp_path / name)
    assert nib.load(tmp_path / name).ndim == 3


def test_the_page_of_a_scan_is_printed_alone(page: Page) -> None:
    page.add_init_script("window.print = () => { top.document.body.dataset.printed = location.pathname; }")
    open_scan(page)
    page.get_by_role("link", name="Print or save as PDF").click()
    expect(page.locator("body")).to_have_attribute("data-printed", re.compile("^/scan/[^/]+/page$"))
    paper = page.frame_locator("iframe[title='The page to print']")
    expect(paper.get_by_role("heading").first).to_be_attached()
    expect(paper.locator("img, svg").first).to_be_attached()
