import pytest
from fastapi import FastAPI

from client.verdicts import Verdict
from client.web.hospital import Hospital
from client.worklist import READ, WAITING
from tests.browsing import Browser
from tests.client.web.sample import ACCOUNT, NAMES, PASSWORD

CASE = NAMES[0]


@pytest.fixture
def scan(hospital: Hospital) -> str:
    """Address of a scan."""
    return f"/scan/{hospital.scan_name(CASE)}"


@pytest.fixture
def seen(hospital: Hospital) -> str:
    """Digest of the result that its page shows."""
    return hospital.worklist.source_digest(CASE)


def verdict(hospital: Hospital) -> Verdict:
    (found,) = hospital.verdicts.counting(CASE)
    return found


def test_accept_is_kept_with_what_it_was_said_of(
    browser: Browser, hospital: Hospital, scan: str, seen: str
) -> None:
    page = browser.submit(f"{scan}/verdict", said="accept", seen=seen, note="  fine ", **{"useful:age": "no"})
    assert "Your verdict is kept: accepted." in page.text
    found, row = verdict(hospital), hospital.worklist.row(CASE)
    assert (found.reader, found.opinion.said, found.opinion.note) == (ACCOUNT, "accept", "fine")
    assert found.opinion.useful == {"age": False}
    assert (found.weights_digest, found.calibration_digest) == (row.weights_digest, row.calibration_digest)
    assert found.source_digest == seen
    assert row.state == WAITING


def test_accept_and_next_ends_the_reading_and_opens_the_next_of_the_list(
    browser: Browser, hospital: Hospital, seen: str, scan: str
) -> None:
    rows = [row.case for row in hospital.worklist.rows() if row.case != CASE]
    answer = browser.submit(f"{scan}/verdict", said="accept-next", seen=seen)
    assert answer.url.path == f"/scan/{hospital.scan_name(rows[0])}"
    row = hospital.worklist.row(CASE)
    assert (row.state, row.reader) == (READ, ACCOUNT)


def test_after_the_last_scan_comes_the_list(
    browser: Browser, hospital: Hospital, seen: str, scan: str
) -> None:
    for row in hospital.worklist.rows():
        if row.case != CASE:
            hospital.worklist.finish(row.case, "boris")
    answer = browser.submit(f"{scan}/verdict", said="accept-next", seen=seen)
    assert answer.url.path == "/worklist"


def test_an_own_tier_orders_the_scan(browser: Browser, hospital: Hospital, seen: str, scan: str) -> None:
    browser.submit(f"{scan}/verdict", said="modify", seen=seen, tier="stat")
    row = hospital.worklist.row(CASE)
    assert (row.tier, row.why, row.ordered) == ("stat", "ordered", "stat")
    assert verdict(hospital).opinion.tier == "stat"


def test_another_readers_scan_takes_no_verdict_and_tells_who_has_it(
    browser: Browser, hospital: Hospital, seen: str, scan: str
) -> None:
    hospital.worklist.claim(CASE, "boris")
    assert "boris is reading this scan" in browser.get(scan).text
    answer = browser.submit(f"{scan}/verdict", said="accept", seen=seen)
    assert answer.status_code == 409
    assert "boris" in answer.text
    assert hospital.verdicts.verdicts() == []


def test_only_readers_give_verdicts(app: FastAPI, hospital: Hospital, seen: str, scan: str) -> None:
    app.state.web.people.add("emil", PASSWORD, ["engineer"])
    with Browser(app) as engineer:
        engineer.log_in("emil", PASSWORD)
        assert 'name="said"' not in engineer.get(scan).text
        assert engineer.submit(f"{scan}/verdict", said="accept", seen=seen).status_code == 403
    assert hospital.verdicts.verdicts() == []


def test_a_verdict_needs_the_token_and_a_known_word(
    browser: Browser, hospital: Hospital, seen: str, scan: str
) -> None:
    assert browser.post(f"{scan}/verdict", data={"said": "accept", "seen": seen}).status_code == 403
    assert browser.submit(f"{scan}/verdict", said="perhaps", seen=seen).status_code == 422
    assert hospital.verdicts.verdicts() == []


def test_marks_of_unknown_reasons_are_not_kept(
    browser: Browser, hospital: Hospital, seen: str, scan: str
) -> None:
    fields = {"useful:age": "yes", "useful:shoe size": "yes", "useful:volume_ml": "perhaps"}
    browser.submit(f"{scan}/verdict", said="accept", seen=seen, **fields)
    assert verdict(hospital).opinion.useful == {"age": True}
