"""Scans from a disk to the worklist, through the form and the drop zone, read by the real worker process."""

import gzip
import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from shared.web.app import people_in
from simulations.served_pages import Served, add_account, served
from tests.client.predict.readings import AFFINES, scene
from tests.client.web.sample import ACCOUNT, PASSWORD
from tests.client.web.test_upload_page import packed, series
from tests.end_to_end.pages.conftest import WindowOf, assert_quiet, log_in
from tests.end_to_end.pages.test_looks import look_at

READ_MS = 120_000
"""PyTorch is imported in it, and three networks' worth of figures are made, on a busy machine."""
SENT = ("Meyer_9", "Quispe_4", "Roth_7", "Sorge_5", "Tamm_3", "Unger_2", "Vogt_1")
"""The names that these tests upload: they may stand on pages, and nowhere else."""


@pytest.fixture(scope="module")
def pages(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Pages that take 1 MB a file, for all tests here: each uploads names of its own."""
    hospital = tmp_path_factory.mktemp("uploads") / "hospital"
    shutil.copytree(sample, hospital)
    site_file = hospital / "site.yaml"
    text = site_file.read_text(encoding="utf-8")
    site_file.write_text(f"{text}uploads: {{file_gb: 0.001, keep_free_gb: 0}}\n", encoding="utf-8")
    add_account(site_file, ACCOUNT, PASSWORD)
    with served(site_file) as started:
        yield started
        assert_quiet(started)
    logs = [started.log, *started.site.work.glob("*.log")]
    told = "".join(log.read_text(encoding="utf-8", errors="replace") for log in logs)
    with closing(people_in(started.site.work)) as people:
        told += " ".join(view.path for view in people.views(most=5000))
    assert not any(name in told for name in SENT)


@pytest.fixture
def page(pages: Served, window: WindowOf) -> Page:
    opened = window(pages)
    log_in(opened)
    opened.goto("/upload")
    return opened


def nifti(path: Path, brighter: int = 0) -> Path:
    image = scene()
    image[3, 3, 3] += brighter  # else it is the same scan as another
    nib.save(nib.Nifti1Image(image, AFFINES["oblique"]), path)
    return path


def card(page: Page, name: str) -> Locator:
    """The upload that has a file of this name."""
    return page.locator(".upload", has=page.get_by_role("rowheader", name=name))


def chosen(page: Page, name: str) -> Locator:
    return page.locator("#rows tr", has=page.get_by_role("rowheader", name=name))


def row(page: Page, name: str) -> Locator:
    return card(page, name).locator("tr", has=page.get_by_role("rowheader", name=name))


def send(page: Page) -> None:
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#progress-text")).to_contain_text("checked now, then read")


def drop(page: Page, *paths: Path) -> None:
    """Drag files from a folder of the machine onto the drop zone, as the mouse does."""
    zone = page.locator("#drop")
    zone.scroll_into_view_if_needed()
    box = zone.bounding_box()
    assert box is not None
    mouse = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "data": data}
    for step in ("dragEnter", "dragOver"):
        mouse.send("Input.dispatchDragEvent", {"type": step, **at})
    expect(zone).to_have_class(re.compile("over"))
    mouse.send("Input.dispatchDragEvent", {"type": "drop", **at})
    expect(zone).not_to_have_class(re.compile("over"))


def test_a_nifti_and_a_dicom_zip_are_on_the_worklist_in_the_end(
    page: Page, pages: Served, tmp_path: Path
) -> None:
    scan = nifti(tmp_path / "Meyer_9.nii.gz")
    archive = tmp_path / "Quispe_4.zip"
    archive.write_bytes(packed(series(tmp_path / "ct", "1.2.3")))
    page.get_by_label("Files or zips").set_input_files([scan, archive])
    for name in (scan.name, archive.name):
        expect(chosen(page, name)).to_contain_text("ready")
    page.get_by_label("Patient's number here").fill("P9")
    page.get_by_label("age (years)").fill("71")
    assert look_at(page, "upload-chosen") == []
    send(page)
    expect(page.locator("#rows tr")).to_have_count(0)
    under_way = re.compile("waits to be|being (checked|read)")
    expect(page.locator(".upload .state").first).to_have_text(under_way)
    expect(page.locator("#uploads").get_by_role("status")).to_contain_text("being worked on")
    upload = card(page, archive.name)
    expect(upload.get_by_text("2 of 2 scans read")).to_be_visible(timeout=READ_MS)  # nobody loads the page
    expect(upload.locator("h3 .state")).to_have_text("done")
    assert look_at(page, "upload-done") == []
    cases = [row(page, path.name).get_by_role("link").inner_text() for path in (scan, archive)]

    row(page, scan.name).get_by_role("link", name="Meyer_9").click()
    expect(page).to_have_url(re.compile(r"/scan/[\w-]+$"))
    assert not any(name in f"{page.url} {page.title()}" for name in SENT)
    expect(page.locator(".scan-head")).to_contain_text("patient P9")
    expect(page.locator(".scan-side")).to_contain_text("71 years")
    expect(page.locator("#viewer")).to_have_attribute("data-ready", "true", timeout=60_000)
    page.goto("/worklist")
    for case in cases:
        expect(page.get_by_role("rowheader", name=case)).to_be_visible()


def test_what_is_refused_is_named_with_what_helps(page: Page, pages: Served, tmp_path: Path) -> None:
    letter = tmp_path / "Roth_7.pdf"
    letter.write_bytes(b"%PDF-1.7\n1 0 obj << >> endobj\n")
    cut = tmp_path / "Sorge_5.nii.gz"
    whole = nifti(tmp_path / "whole.nii.gz", 3).read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    climbing = tmp_path / "Tamm_3.zip"
    with zipfile.ZipFile(climbing, "w") as archive:
        archive.writestr("../../climbed.nii.gz", whole)
    large = tmp_path / "Unger_2.nii.gz"
    large.write_bytes(gzip.compress(np.random.default_rng(1).bytes(1_100_000)))
    page.get_by_label("Files or zips").set_input_files([letter, cut, climbing, large])
    expect(chosen(page, large.name)).to_contain_text("1.1 MB, expected at most 1.0 MB a file. Crop it")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#progress-text")).to_contain_text("Refused files are named above")
    expect(chosen(page, large.name)).to_contain_text("refused")  # it stays to be seen, the others went
    expect(page.locator("#rows tr")).to_have_count(1)
    upload = card(page, letter.name)
    expect(upload.locator("h3 .state")).to_have_text("nothing could be read", timeout=READ_MS)
    for name, why in (
        (letter.name, "no scan|format"),
        (cut.name, "cannot be read|damaged|cut|ended"),
        (climbing.name, "leads out of the folder"),
    ):
        expect(row(page, name)).to_contain_text(re.compile(why))
        expect(row(page, name)).to_contain_text("What helps:")
    assert look_at(page, "upload-refused") == []
    assert not list(pages.site_file.parent.rglob("climbed*"))


def test_files_are_dragged_in_and_what_was_sent_is_removed_when_stopped(page: Page, tmp_path: Path) -> None:
    before = page.locator(".upload").count()
    folder = tmp_path / "Vogt_1"
    series(folder, "1.2.4")
    drop(page, nifti(tmp_path / "dropped.nii.gz", 5), folder)
    expect(chosen(page, "Vogt_1/")).to_contain_text("10")  # files of the folder
    page.get_by_role("button", name="Take away dropped.nii.gz").click()
    expect(page.locator("#rows tr")).to_have_count(1)
    held: list[Route] = []
    for slow in ("**/upload/file", "**/upload/new"):
        page.route(slow, lambda route: held.append(route))  # noqa: PLW0108 - it is given a name there
        with page.expect_request(slow):
            page.get_by_role("button", name="Upload").click()
        with page.expect_response("**/discard"):
            page.get_by_role("button", name="Stop").click()
            if slow.endswith("new"):
                held.pop().continue_()  # the answer comes to somebody who has stopped
        expect(page.locator("#progress-text")).to_have_text("Stopped. What had been sent is removed.")
        expect(page.get_by_role("button", name="Stop")).to_be_hidden()
        page.unroute(slow)
    page.reload()
    expect(page.locator(".upload")).to_have_count(before)
