import re

import pytest
from fastapi import FastAPI

from server.web.office import Office
from shared.errors import FederationError
from tests.browsing import Browser
from tests.server.web.sample import as_seen

SEEN = re.compile(r'name="seen" value="([0-9a-f]+)"')


def plain(page: str) -> str:
    """Text of a page, without tags and with single blanks."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_the_board_says_who_is_awaited_and_why_an_answer_was_not_used(
    browser: Browser, training: str
) -> None:
    page = plain(browser.get("/board").text)
    assert f"{training}: running, training, round 4 of 8" in page
    assert "Awaited hospital-d" in page
    assert "hospital-b late not connected" in page
    assert "hospital-c refused its update holds NaN or infinity" in page
    assert "19.2 MB" in page


def test_without_a_coordinator_that_is_up_nobody_is_online_and_no_time_is_told(browser: Browser) -> None:
    page = plain(browser.get("/board").text)
    assert "No coordinator is up." in page
    assert "not known while no coordinator is up" in page
    assert "about" not in page.partition("Time left")[2].partition("Bytes so far")[0]


def test_with_one_that_is_up_it_says_who_is_online_and_about_how_long(
    browser: Browser, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _ = office.status()
    monkeypatch.setattr(Office, "status", lambda _: (as_seen(status, ("hospital-a", "hospital-c")), True))
    page = plain(browser.get("/board").text)
    assert "2 of 4 sites online." in page
    assert re.search(r"about \d+ min of rounds, from n = 3 rounds of this run", page)
    assert "No coordinator is up." not in page
    assert "hospital-e" not in page
    assert "1 revoked site is not shown" in page


def test_curves_and_the_last_dice_come_from_the_checkpoint(browser: Browser) -> None:
    page = browser.get("/board").text
    assert "<svg viewBox=" in page
    assert "Dice, round 2" in page  # of round 3 it is known one round later
    assert "(n = 60)" in page


def test_no_page_has_a_style_of_its_own(browser: Browser, training: str, finished: list[str]) -> None:
    pages = ("/board", f"/runs/{training}", f"/runs/{finished[0]}", f"/calibration/{finished[0]}", "/sites")
    for path in pages:
        page = browser.get(path).text
        assert "style=" not in page
        assert "<style" not in page
        assert "onclick" not in page


def test_polling_sends_only_what_changed(browser: Browser, office: Office, training: str) -> None:
    seen = SEEN.findall(browser.get("/board").text)[0]
    assert browser.get("/board/now", params={"seen": seen}).status_code == 204
    office.store.stop(training)
    office.forget()
    answer = browser.get("/board/now", params={"seen": seen})
    assert answer.status_code == 200
    assert "is being stopped" in answer.text
    assert SEEN.findall(answer.text) != [seen]


def test_polling_is_not_written_down_as_a_look(browser: Browser, app: FastAPI) -> None:
    before = app.state.web.people.count_views()
    browser.get("/board/now")
    assert app.state.web.people.count_views() == before
    browser.get("/board")
    assert app.state.web.people.count_views() == before + 1


def test_an_observer_sees_the_board_and_no_way_to_change_anything(watcher: Browser, training: str) -> None:
    page = watcher.get("/board").text
    assert training in page
    assert "Stop" not in page
    assert 'href="/sites"' not in page


def test_an_unreachable_coordinator_costs_no_error(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise FederationError("gone")

    monkeypatch.setattr("server.watching.live", gone)
    assert browser.get("/board").status_code == 200
