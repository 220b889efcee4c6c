"""Claims and what follows, by click."""

import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from client.web.hospital import Hospital
from tests.browsing import Browser
from tests.client.web.sample import PASSWORD

STAYS = {"hx-request": "true"}


@pytest.fixture
def scan(hospital: Hospital) -> str:
    """A scan that waits."""
    return hospital.scan_name("Okafor_1")


def reader(app: FastAPI, name: str, *roles: str) -> Browser:
    app.state.web.people.add(name, PASSWORD, roles)
    browser = Browser(app)
    browser.log_in(name, PASSWORD)
    return browser


@pytest.fixture
def other(app: FastAPI) -> Iterator[Browser]:
    """Another reader."""
    with reader(app, "ben", "reader") as browser:
        yield browser


def told(page: str) -> str:
    """What a page says in the words for what was not done."""
    return (
        page.split('id="message"')[1].split('<p class="wrong" role="alert">')[1].split("</p>", maxsplit=1)[0]
    )


def state_of(hospital: Hospital, case: str = "Okafor_1") -> tuple[str, str | None]:
    (row,) = [
        row for row in hospital.worklist.rows(states=("waiting", "reading", "read")) if row.case == case
    ]
    return row.state, row.reader


def test_a_scan_goes_from_waiting_to_read_and_back(browser: Browser, hospital: Hospital, scan: str) -> None:
    for step, state in (
        ("claim", ("reading", "amal")),
        ("release", ("waiting", None)),
        ("claim", ("reading", "amal")),
        ("done", ("read", "amal")),
        ("reopen", ("waiting", None)),
    ):
        page = browser.submit(f"/scan/{scan}/{step}")
        assert (page.url.path, page.status_code) == ("/worklist", 200)
        assert "Okafor_1" in page.text.split('class="said"')[1].split("</p>")[0]
        assert state_of(hospital) == state
    assert [one.by for one in hospital.worklist.history("Okafor_1")[1:]] == ["amal"] * 5


def test_of_two_readers_one_gets_the_scan_and_the_other_is_told_who(
    browser: Browser, other: Browser, hospital: Hospital, scan: str
) -> None:
    browser.submit(f"/scan/{scan}/claim")
    late = other.submit(f"/scan/{scan}/claim", next=f"/scan/{scan}")
    assert (late.url.path, late.status_code) == (f"/scan/{scan}", 200)
    assert "is being read by amal since" in told(late.text)
    for step in ("release", "done"):
        late = other.submit(f"/scan/{scan}/{step}")
        assert (late.url.path, late.status_code) == ("/worklist", 200)
        assert "amal" in told(late.text)
    assert state_of(hospital) == ("reading", "amal")
    other.submit(f"/scan/{scan}/release", force="true")
    assert state_of(hospital) == ("waiting", None)


def test_the_page_that_is_open_stays_and_is_told(browser: Browser, other: Browser, scan: str) -> None:
    fields = {"csrf": browser.csrf, "stay": "true"}
    answer = browser.post(f"/scan/{scan}/claim", data=fields, headers=STAYS)
    assert (answer.status_code, answer.headers["hx-trigger"]) == (200, "scan-changed")
    assert answer.text.startswith('<p class="said">You are reading Okafor_1')
    late = other.post(f"/scan/{scan}/claim", data={"csrf": other.csrf, "stay": "true"}, headers=STAYS)
    assert (late.status_code, late.headers["hx-retarget"]) == (409, "#message")
    assert "being read by amal" in late.text
    moves = browser.post(f"/scan/{scan}/done", data={"csrf": browser.csrf, "next": "/upload"}, headers=STAYS)
    assert (moves.status_code, moves.headers["hx-redirect"]) == (204, "/upload")


def test_a_clinicians_tier_raises_a_scan(browser: Browser, hospital: Hospital, scan: str) -> None:
    assert browser.submit(f"/scan/{scan}/order", tier="stat").status_code == 200
    first = hospital.worklist.rows()[0]
    assert (first.case, first.tier, first.why) == ("Okafor_1", "stat", "ordered")
    assert hospital.worklist.history("Okafor_1")[-1].by == "amal"
    assert browser.submit(f"/scan/{scan}/order", tier="soon").status_code == 422


def test_a_reader_finds_the_tiers_to_order_on_the_list_and_on_the_scan(
    app: FastAPI, browser: Browser, hospital: Hospital, scan: str
) -> None:
    def offered(page: str) -> list[str]:
        form = re.search(rf'<form[^>]*action="/scan/{scan}/order".*?</form>', page, re.DOTALL)
        return [] if form is None else re.findall(r'name="tier" value="(\w+)"', form[0])

    pages = ("/worklist", f"/scan/{scan}")
    assert [offered(browser.get(page).text) for page in pages] == [["stat", "asap", "urgent", "routine"]] * 2
    with reader(app, "eng", "engineer") as engineer:
        assert [offered(engineer.get(page).text) for page in pages] == [[], []]
    hospital.worklist.finish("Okafor_1", "amal")
    assert offered(browser.get(f"/scan/{scan}").text) == []


def test_only_readers_read(app: FastAPI, hospital: Hospital, scan: str) -> None:
    with reader(app, "eng", "engineer") as engineer:
        assert engineer.get("/worklist").status_code == 200
        for step in ("claim", "release", "done", "reopen", "order"):
            assert engineer.submit(f"/scan/{scan}/{step}", tier="stat").status_code == 403
    assert state_of(hospital) == ("waiting", None)
    assert len(hospital.worklist.history("Okafor_1")) == 1


def test_a_step_needs_the_sessions_token_and_a_scan_that_is_listed(
    browser: Browser, hospital: Hospital, scan: str
) -> None:
    assert browser.post(f"/scan/{scan}/claim", data={"csrf": "0" * 64}).status_code == 403
    assert browser.submit("/scan/case-0123456789abcdef/claim").status_code == 404
    assert browser.submit("/scan/Okafor_1/claim").status_code == 404  # its name is no address
    assert state_of(hospital) == ("waiting", None)


def test_elsewhere_is_nowhere_to_go(browser: Browser, scan: str) -> None:
    sent = {"csrf": browser.csrf, "next": "//elsewhere.example"}
    answer = browser.post(f"/scan/{scan}/claim", data=sent, follow_redirects=False)
    assert answer.headers["location"] == "/worklist"
