"""Who may come in, and what an officer takes away, in a real browser."""

import io
import zipfile

from playwright.sync_api import Page, expect

from simulations.served_pages import Served, add_account
from tests.client.web.sample import NAMES, PASSWORD
from tests.end_to_end.pages.conftest import WindowOf, complaints_of, log_in
from tests.end_to_end.pages.test_looks import look_at

OWN = "a password of her own"


def test_somebody_gets_an_account_and_chooses_a_password_of_their_own(
    page: Page, pages: Served, window: WindowOf
) -> None:
    page.goto("/people")
    page.get_by_label("Name", exact=True).fill("dara")
    page.get_by_role("checkbox", name="reader:").check()
    page.get_by_role("button", name="Make the account").click()
    once = page.locator(".secret").inner_text()
    assert look_at(page, "people-made") == []
    page.goto("/people")
    expect(page.get_by_role("row", name="dara")).to_contain_text("to choose a password of their own")
    assert once not in page.content()  # it was shown that once

    hers = window(pages)
    log_in(hers, "dara", once)
    hers.goto("/worklist")
    expect(hers.get_by_label("New password")).to_be_visible()  # nothing else opens with it
    assert look_at(hers, "choose-password") == []
    if (present := hers.get_by_label("Present password")).count():
        present.fill(once)
    hers.get_by_label("New password").fill(OWN)
    hers.get_by_label("The same again").fill(OWN)
    hers.get_by_role("button", name="Change it").click()
    hers.goto("/worklist")
    expect(hers.get_by_role("heading", level=1)).to_have_text("Worklist")
    expect(hers.get_by_role("link", name="People")).to_have_count(0)

    page.goto("/people")
    page.get_by_role("button", name="Disable dara").click()
    hers.goto("/worklist")
    expect(hers.get_by_role("heading", level=1)).to_have_text("Log in")
    complaints_of(hers).take()


def test_an_officer_verifies_the_log_and_takes_it_away(pages: Served, window: WindowOf) -> None:
    add_account(pages.site_file, "edo", PASSWORD, "officer")
    page = window(pages, accept_downloads=True)
    log_in(page, "edo")
    page.get_by_role("button", name="Verify every line now").click()
    expect(page.get_by_text("Unbroken.")).to_be_visible()
    with page.expect_download() as coming:
        page.get_by_role("link", name="Download all for the data protection officer").click()
    content = coming.value.path().read_bytes()
    names = " ".join([coming.value.suggested_filename, *zipfile.ZipFile(io.BytesIO(content)).namelist()])
    assert "audit" in names
    assert not any(case in names for case in NAMES)
