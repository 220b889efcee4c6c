"""A scan of two channels in a real browser: one at a time is shown, and the overlay stays."""

from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from client.site import Site
from simulations.served_pages import Served, add_account, served
from tests.client.hospital import tiny_study
from tests.client.predict.readings import AFFINES, Array, model_of, scene
from tests.client.web.sample import ACCOUNT, NAMES, PASSWORD, read
from tests.end_to_end.pages.conftest import WindowOf, assert_quiet, log_in
from tests.end_to_end.pages.test_reading import open_scan, picture

CHANNELS = ("t1", "flair")


@pytest.fixture
def two_channels(tmp_path: Path) -> Iterator[Served]:
    """Pages of a hospital with one scan of BraTS: what is bright in T1 is dark in FLAIR."""
    folder = tmp_path / "data" / NAMES[0]
    folder.mkdir(parents=True)
    shown = {"t1": scene(), "t1ce": scene(), "t2": scene(), "flair": 1000 - scene()}
    for channel, image in shown.items():
        nib.save(nib.Nifti1Image(image, AFFINES["straight"]), folder / f"{NAMES[0]}_{channel}.nii.gz")
    site_file = tmp_path / "site.yaml"
    site_file.write_text("name: north\ndata: data\nwork: work\nseismometer: false\n", encoding="utf-8")
    site = Site.read(site_file)
    task = {"classes": ["tumour"], "channels": CHANNELS}
    model = model_of(tiny_study(task=task, preprocessing={"crop_foreground": True}))
    model.save(site.make_work() / "model")
    read(site, model, site.data)
    add_account(site_file, ACCOUNT, PASSWORD)
    with served(site_file) as pages:
        yield pages
        assert_quiet(pages)


def test_another_channel_takes_the_place_of_the_image_and_the_overlay_stays(
    two_channels: Served, window: WindowOf
) -> None:
    page = window(two_channels)
    log_in(page)
    open_scan(page)
    assert page.get_by_label("Channel").locator("option").all_inner_texts() == list(CHANNELS)
    first, other, again = (switched(page, name) for name in (*CHANNELS, CHANNELS[0]))
    assert coloured(first).sum() > 100
    assert coloured(other).sum() == pytest.approx(coloured(first).sum(), rel=0.2)
    grey = ~coloured(first) & ~coloured(other)
    assert np.abs(first - other).max(axis=2)[grey].mean() > 10  # another image
    assert np.abs(first - again).max() <= 8  # and back, with the window that it had
    expect(page.locator("#viewer")).to_have_attribute("data-overlay", "mask")


def switched(page: Page, channel: str) -> Array:
    """Show a channel; returns what the canvas shows then."""
    page.get_by_label("Channel").select_option(label=channel)
    expect(page.locator("#viewer")).to_have_attribute("data-channel", str(CHANNELS.index(channel)))
    return picture(page)


def coloured(shown: Array) -> Array:
    """Which pixels are no grey."""
    spread: Array = np.ptp(shown, axis=2)
    return spread > 60
