"""Coming in and going out, in a real browser."""

import time
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from shared.web.app import people_in
from simulations.served_pages import Served, add_account, served
from tests.client.web.sample import ACCOUNT, PASSWORD
from tests.end_to_end.pages.conftest import WindowOf, axe, complaints_of, log_in


def fill_first(page: Page, code: str, password: str, again: str | None = None) -> None:
    page.get_by_label("Code").fill(code)
    page.get_by_label("Your name").fill(ACCOUNT)
    page.get_by_label("Password, 12").fill(password)
    page.get_by_label("The same again").fill(password if again is None else again)
    page.get_by_role("button", name="Make the account").click()


def test_the_first_account_is_made_with_the_terminals_code(first_start: Served, window: WindowOf) -> None:
    page = window(first_start)
    assert first_start.code is not None
    page.goto("/worklist")
    expect(page).to_have_url(f"{first_start.origin}/first")
    assert axe(page) == []
    fill_first(page, "0000-0000-0000", PASSWORD)
    expect(page.get_by_role("alert")).to_have_text("The code is another one. The terminal shows it.")
    fill_first(page, first_start.code, PASSWORD, again=f"{PASSWORD}!")
    expect(page.get_by_role("alert")).to_have_text("The two passwords differ.")
    fill_first(page, first_start.code, "too short")
    expect(page.get_by_label("Password, 12")).to_be_focused()  # the browser itself does not send it
    expect(page).to_have_url(f"{first_start.origin}/first")
    page.evaluate("document.querySelectorAll('[minlength]').forEach(i => i.removeAttribute('minlength'))")
    fill_first(page, first_start.code, "too short")
    expect(page.get_by_role("alert")).to_contain_text("12 characters or more")
    fill_first(page, first_start.code, PASSWORD)
    expect(page).to_have_url(f"{first_start.origin}/worklist")
    other = window(first_start)
    other.goto("/first")
    expect(other).to_have_url(f"{first_start.origin}/login")


def test_a_wrong_password_says_nothing_about_which_was_wrong(pages: Served, window: WindowOf) -> None:
    page = window(pages)
    told = []
    for name, password in ((ACCOUNT, "wrong horse battery"), ("nobody", PASSWORD)):
        log_in(page, name, password)
        told.append(page.get_by_role("alert").inner_text())
        expect(page).to_have_url(f"{pages.origin}/login")
    assert told == ["Name or password is wrong."] * 2
    page.goto("/worklist")
    expect(page).to_have_url(f"{pages.origin}/login?next=%2Fworklist")
    log_in(page)
    expect(page).to_have_url(f"{pages.origin}/worklist")


def test_after_logging_out_the_way_back_shows_nothing(page: Page, pages: Served) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Worklist")
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(f"{pages.origin}/login")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")


def test_an_idle_session_ends_and_the_login_says_so(site_file: Path, window: WindowOf) -> None:
    text = site_file.read_text(encoding="utf-8")
    site_file.write_text(f"{text}pages: {{idle_minutes: 0.05}}\n", encoding="utf-8")
    add_account(site_file, ACCOUNT, PASSWORD)
    with served(site_file) as pages:
        page = window(pages)
        log_in(page)
        expect(page).to_have_url(f"{pages.origin}/worklist")
        time.sleep(3.2)
        page.goto("/worklist")
        expect(page).to_have_url(f"{pages.origin}/login?ended=true&next=%2Fworklist")
        expect(page.get_by_role("alert")).to_have_text("Your session is over. Log in again.")


def test_two_browsers_are_two_sessions(pages: Served, window: WindowOf) -> None:
    add_account(pages.site_file, "bashir", PASSWORD, "officer")
    one, two = window(pages), window(pages)
    log_in(one)
    log_in(two, "bashir")
    expect(two).to_have_url(f"{pages.origin}/privacy")  # where an officer begins
    complaints_of(two).take()
    two.goto("/worklist")
    expect(two.get_by_role("alert")).to_contain_text("for the role reader or engineer")
    two.goto("/account")
    two.get_by_role("button", name="Log out").click()
    one.reload()
    expect(one.get_by_role("heading", level=1)).to_have_text("Worklist")
    with closing(people_in(pages.site.work)) as people:
        assert {(v.account, v.path) for v in people.views(most=50)} >= {
            (ACCOUNT, "/worklist"),
            ("bashir", "/worklist"),
        }


def test_another_password_ends_every_other_session(pages: Served, window: WindowOf) -> None:
    add_account(pages.site_file, "chen", PASSWORD)
    page, other = window(pages), window(pages)
    log_in(page, "chen")
    log_in(other, "chen")
    other.goto("/account")
    other.get_by_label("Present password").fill(PASSWORD)
    other.get_by_label("New password").fill("another horse battery")
    other.get_by_label("The same again").fill("another horse battery")
    other.get_by_role("button", name="Change it").click()
    page.goto("/worklist")
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    log_in(page, "chen")
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    log_in(page, "chen", "another horse battery")
    expect(page).to_have_url(f"{pages.origin}/worklist")


def test_the_keyboard_alone_logs_in_and_skips_the_menu(pages: Served, window: WindowOf) -> None:
    page = window(pages)
    page.goto("/login")
    expect(page.get_by_label("Name")).to_be_focused()
    for keys in (ACCOUNT, PASSWORD):
        page.keyboard.type(keys)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{pages.origin}/worklist")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the page")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


@pytest.mark.parametrize("path", ["/login", "/worklist"])
def test_an_inline_script_is_blocked(path: str, page: Page) -> None:
    page.goto(path)
    page.evaluate(
        """() => {
          const script = document.createElement('script');
          script.textContent = 'window.ran = true';
          document.body.append(script);
          const link = document.createElement('a');
          link.setAttribute('onclick', 'window.ran = true');
          document.body.append(link);
          link.click();
        }"""
    )
    assert page.evaluate("window.ran") is None
    refused = complaints_of(page).take()
    assert len(refused) >= 2
    assert all("Content Security Policy" in complaint for complaint in refused)


def test_nothing_is_loaded_from_elsewhere_even_when_a_page_asks(page: Page) -> None:
    page.evaluate("document.body.append(Object.assign(new Image(), {src: 'http://192.0.2.1/x.png'}))")
    page.wait_for_timeout(200)
    assert any("Content Security Policy" in complaint for complaint in complaints_of(page).take())


def test_the_session_is_out_of_reach_of_scripts(page: Page, pages: Served) -> None:
    assert page.evaluate("document.cookie") == ""
    (cookie,) = page.context.cookies(pages.origin)
    assert cookie["httpOnly"] is True
    assert cookie["sameSite"] == "Strict"
