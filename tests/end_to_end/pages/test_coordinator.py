"""The coordinator's pages in a real browser: the first account, the board, an invite, a study, every page."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from server.commands import initialise
from server.web.app import MENU
from simulations.served_pages import Answering, add_keeper, coordinator_served
from tests.end_to_end.pages.conftest import WindowOf, complaints_of, log_in
from tests.end_to_end.pages.test_entry import fill_first
from tests.end_to_end.pages.test_looks import links_in, look_at
from tests.server.web.sample import ACCOUNT, PASSWORD, WATCHER, make
from tests.server.web.test_sites_page import LINE

FAULTY = "name: A b\ntask: {classes: [tumour]}\ntraning: {}\ntraining: {rounds: 0}\n"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    """The pages of a coordinator with runs in every state: tests add and do not take away."""
    folder = make(tmp_path_factory.mktemp("office") / "coordinator")
    add_keeper(folder, ACCOUNT, PASSWORD)
    add_keeper(folder, WATCHER, PASSWORD, "observer")
    with coordinator_served(folder) as started:
        yield started
        log = started.log.read_text(encoding="utf-8")
    assert "Traceback" not in log
    assert not LINE.search(log)


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[Answering]:
    """The pages of a coordinator that has just begun: no account, no site, no run."""
    folder = tmp_path / "coordinator"
    initialise(folder, address="127.0.0.1", name="begun")
    with coordinator_served(folder) as started:
        yield started
    shutil.rmtree(folder)


@pytest.fixture
def page(office: Answering, window: WindowOf) -> Page:
    opened = window(office)
    log_in(opened, ACCOUNT)
    return opened


def named_paths(page: Page) -> dict[str, str]:
    """All pages of the menu, and one of each kind that they lead to; by a name for its picture."""
    page.goto("/runs")
    runs = links_in(page, "/runs/")
    page.goto("/calibration")
    calibration = links_in(page, "/calibration/")[0]
    page.goto("/compare")
    first, second = page.locator("[name=first] option").all_inner_texts()[:2]
    return {
        **{item.path.strip("/"): item.path for item in MENU},
        **{f"run-{number}": path for number, path in enumerate(runs, start=1)},
        "stop": f"{runs[0]}/stop",
        "compared": f"/compare?first={first}&second={second}",
        "calibration-of-run": calibration,
        "write": "/studies/write",
        "account": "/account",
    }


@pytest.mark.parametrize(("dark", "width"), [(False, 1280), (True, 1920)])
def test_every_page_is_well_made(dark: bool, width: int, office: Answering, window: WindowOf) -> None:
    page = window(office, dark=dark, width=width)
    log_in(page, ACCOUNT)
    wrong = []
    for name, path in named_paths(page).items():
        page.goto(path)
        wrong += look_at(page, f"coordinator-{name}")
    assert wrong == []


@pytest.mark.parametrize("dark", [False, True])
def test_the_first_account_opens_a_board_that_says_what_to_do(
    dark: bool, begun: Answering, window: WindowOf
) -> None:
    page = window(begun, dark=dark)
    assert begun.code is not None
    page.goto("/")
    expect(page).to_have_url(f"{begun.origin}/first")
    wrong = look_at(page, "coordinator-first")
    fill_first(page, begun.code, PASSWORD)
    expect(page).to_have_url(f"{begun.origin}/board")
    for item in MENU:
        page.goto(item.path)
        wrong += look_at(page, f"coordinator-empty-{item.path.strip('/')}")
    assert wrong == []
    page.goto("/board")
    page.get_by_role("link", name="Invite one").click()
    expect(page).to_have_url(f"{begun.origin}/sites")


def test_the_board_says_who_is_awaited_and_what_became_of_the_others(page: Page) -> None:
    page.goto("/board")
    run = page.locator(".run").first
    expect(run).to_contain_text("3 over")
    for site, words in (("hospital-a", "used"), ("hospital-b", "late"), ("hospital-c", "refused")):
        expect(run.get_by_role("row", name=site)).to_contain_text(words)
    expect(run.locator("dt", has_text="Awaited").locator("xpath=following-sibling::dd[1]")).to_have_text(
        "hospital-d"
    )
    expect(run.locator("svg")).to_be_visible()  # the curves
    run.get_by_role("link", name="Stop…").click()
    page.get_by_role("link", name="No, go back").click()
    expect(page.get_by_role("link", name="Stop…")).to_be_visible()


def test_an_invite_is_shown_once(page: Page, office: Answering) -> None:
    page.goto("/sites")
    page.get_by_label("Name of the site").fill("hospital-x")
    page.get_by_role("button", name="Make an invite").click()
    invite = page.get_by_label("Invite", exact=True)
    expect(invite).to_have_value(LINE)
    assert look_at(page, "coordinator-invite") == []
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=office.origin)
    page.get_by_role("button", name="Copy it").click()
    expect(page.locator("#copied")).not_to_be_empty()
    assert page.evaluate("navigator.clipboard.readText()") == invite.input_value()
    assert not LINE.search(f"{page.url} {page.title()}")
    page.goto("/sites")
    expect(page.get_by_role("row", name="hospital-x")).to_contain_text("open")
    assert not LINE.search(page.content())


def test_a_fault_of_a_study_is_named_at_its_key_and_the_mended_text_can_be_kept(page: Page) -> None:
    page.goto("/studies")
    page.get_by_role("link", name="Write a study").click()
    text = page.get_by_label("YAML")
    good = text.input_value()
    text.fill(FAULTY)
    page.get_by_role("button", name="Check it").click()
    faults = page.locator(".wrongs")
    expect(faults.get_by_role("heading")).to_have_text("3 faults")
    for key in ("name", "traning", "training.rounds"):
        expect(faults.get_by_role("rowheader", name=key, exact=True)).to_be_visible()
    expect(text).to_have_value(FAULTY)  # nothing that was typed is lost
    assert look_at(page, "coordinator-faults") == []
    text.fill(good.replace("first-study", "second-study"))
    page.get_by_role("button", name="Keep it as a draft").click()
    page.goto("/studies")
    expect(page.get_by_role("row", name="second-study").first).to_contain_text("can be started")


def test_a_report_opens_and_a_finished_run_is_exported(page: Page) -> None:
    page.goto("/runs")
    page.get_by_role("row").filter(has_text="finished").get_by_role("link").first.click()
    with page.expect_download() as coming:
        page.get_by_role("link", name="Export as zip").click()
    assert coming.value.suggested_filename.endswith(".zip")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Report (new tab)").click()
    expect(opened.value.get_by_role("heading", level=1)).to_be_visible()


def test_an_observer_sees_no_button_that_changes_anything(office: Answering, window: WindowOf) -> None:
    page = window(office)
    log_in(page, WATCHER)
    expect(page).to_have_url(f"{office.origin}/board")
    expect(page.locator("main button, main a.button")).to_have_count(0)
    page.goto("/sites")
    expect(page.get_by_role("alert")).to_contain_text("for the role coordinator")
    assert complaints_of(page).take() == []
