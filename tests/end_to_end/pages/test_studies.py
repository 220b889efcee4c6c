"""A study that waits for a hospital's yes: given in a browser, then the run is watched on both sides."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from server.store import FINISHED
from simulations.deployment import Deployment
from simulations.served_pages import (
    Answering,
    Served,
    add_account,
    add_keeper,
    coordinator_served,
    served,
)
from tests.client.web.sample import ACCOUNT, PASSWORD
from tests.end_to_end.deployments import Deploy, audited, started
from tests.end_to_end.pages.conftest import WindowOf, log_in
from tests.end_to_end.pages.test_looks import look_at

ASKING, OTHER = "east", "north"
ROUNDS = 6
RUN_S = 180.0
NOTE_ROUNDS = """() => {
  window.rounds = [];
  const live = document.getElementById("live-runs");
  new MutationObserver(() => {
    const found = /Round (\\d+) of/.exec(live.textContent);
    if (found && window.rounds.at(-1) !== Number(found[1])) window.rounds.push(Number(found[1]));
  }).observe(live, {childList: true, subtree: true, characterData: true});
}"""
"""Every number of a round that stands on the page from now on."""


@pytest.fixture(scope="module")
def trial(deploy: Deploy) -> Deployment:
    """A coordinator and two hospitals, one of which asks its people about every study."""
    return deploy((ASKING, OTHER), policies={ASKING: {"studies": "ask"}})


@pytest.fixture(scope="module")
def hospital(trial: Deployment) -> Iterator[Served]:
    """The pages of the one that asks, beside its node."""
    site_file = trial.folder / "sites" / ASKING / "site.yaml"
    add_account(site_file, ACCOUNT, PASSWORD)
    with served(site_file) as pages:
        yield pages
        assert "Traceback" not in pages.log.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def office(trial: Deployment) -> Iterator[Answering]:
    """The pages of the coordinator, beside the coordinator that is up."""
    add_keeper(trial.coordinator_folder, ACCOUNT, PASSWORD)
    with coordinator_served(trial.coordinator_folder) as pages:
        yield pages
        assert "Traceback" not in pages.log.read_text(encoding="utf-8")


def approve(page: Page) -> None:
    """Read what is asked, say yes to it; the digest is typed as it was told by telephone."""
    page.goto("/studies")
    page.get_by_role("link", name="Read and answer").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Study tiny")
    expect(page.get_by_text("In all at most")).to_be_visible(timeout=60_000)  # it is worked out beside
    digest = page.locator("dd.code").first.inner_text()
    assert look_at(page, "study-waits") == []
    page.get_by_role("link", name="Answer…").click()
    first, yes = page.get_by_label("First 8 characters"), page.get_by_role("button", name="Approve tiny")
    page.get_by_label("I have read").check()
    first.fill("00000000")
    yes.click()
    expect(page.get_by_role("alert")).to_contain_text("first 8 characters of the digest")
    page.get_by_label("I have read").check()
    first.fill(digest[:8])
    assert look_at(page, "study-answer") == []
    yes.click()
    expect(page.get_by_text("tiny is approved")).to_be_visible()


def test_a_study_is_approved_and_its_run_watched_on_the_pages_of_both(
    trial: Deployment, hospital: Served, office: Answering, window: WindowOf
) -> None:
    board, page = window(office), window(hospital)
    log_in(board, ACCOUNT)
    log_in(page, ACCOUNT)
    expect(board.get_by_text("2 of 2 sites online.")).to_be_visible(timeout=30_000)
    page.goto("/studies")
    expect(page.get_by_text("No study waits.")).to_be_visible()

    run = started(trial, {"training.rounds": ROUNDS, "priority": None})
    card = board.locator(f"#run-{run}")
    expect(card.get_by_role("row", name=ASKING)).to_contain_text("approval", timeout=60_000)
    approve(page)

    page.goto("/studies")
    page.evaluate(NOTE_ROUNDS)
    expect(page.locator("#live-runs").get_by_text(f"of {ROUNDS}")).to_be_visible(timeout=60_000)
    assert look_at(page, "studies-live") == []
    expect(card).to_contain_text(re.compile(r"[1-6] over"), timeout=60_000)
    assert look_at(board, "board-live") == []
    assert trial.wait(run, limit_s=RUN_S).state == FINISHED
    expect(page.get_by_text("1 run is over in the federation")).to_be_visible(timeout=30_000)
    seen = page.evaluate("window.rounds")  # nobody loaded the page again
    assert len(seen) >= 2
    assert seen == sorted(seen)
    page.reload()
    here = page.locator("section", has=page.locator("#here"))
    expect(here.get_by_role("row", name=run)).to_contain_text("Dice")  # the name that the board has, too
    expect(board.get_by_text("No run is under way")).to_have_count(2, timeout=30_000)
    board.goto("/runs")
    board.get_by_role("link", name=run).click()
    expect(board.locator(".verdict")).to_be_visible()
    expect(board.get_by_role("link", name="Report (new tab)")).to_be_visible()
    assert audited(trial, ASKING, "approved")
    page.goto("/privacy")
    assert look_at(page, "privacy-after-run") == []
