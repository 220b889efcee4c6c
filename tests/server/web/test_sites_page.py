import logging
import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from fastapi import FastAPI

from server.store import InviteRow
from server.web.office import Office
from server.web.sites import listed
from shared.invite import Invite, code_digest
from tests.browsing import Browser
from tests.server.web.sample import SECRET

LINE = re.compile(r"wardround1:[A-Za-z0-9_-]+\.[0-9a-f]+")


def invited(page: str) -> Invite:
    """Read the invite on a page."""
    return Invite.read(LINE.findall(unescape(page))[0])


def test_an_invite_is_shown_once_and_can_be_redeemed(browser: Browser, office: Office) -> None:
    made = invited(browser.submit("/sites/invite", site="hospital-x").text)
    assert made.site == "hospital-x"
    assert made.control == office.settings.control
    again = browser.get("/sites").text
    assert not LINE.search(again)
    assert made.code not in again
    office.store.redeem(made.code, site="hospital-x", public_key=b"k", version="0.1.0")
    assert office.store.site("hospital-x") is not None


def test_no_secret_gets_into_logs_or_the_list_of_views(
    browser: Browser, app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        made = invited(browser.submit("/sites/invite", site="hospital-x").text)
    views = app.state.web.people.views(most=100)
    assert made.code not in caplog.text
    assert all(made.code not in view.path for view in views)
    assert any(view.path == "/sites/invite" for view in views)


def test_open_used_withdrawn_and_expired_invites_are_told_apart(browser: Browser, office: Office) -> None:
    office.store.withdraw("hospital-f")
    page = browser.get("/sites").text
    assert page.count(">used<") == 5
    assert page.count(">withdrawn<") == 1
    assert SECRET not in page
    assert code_digest(SECRET) not in page


def test_open_invites_come_first_and_then_the_newest() -> None:
    now = datetime(2026, 1, 10, tzinfo=UTC)
    rows = [
        InviteRow(site=name, expires_at=now + timedelta(days=days), used_at=used)
        for name, days, used in (("old", 1, now), ("gone", -1, None), ("new", 5, now), ("open", 2, None))
    ]
    found = [(each.site, each.state) for each in listed(rows, now)]
    assert found == [("open", "open"), ("new", "used"), ("old", "used"), ("gone", "expired")]


def test_an_invite_is_withdrawn_after_it_was_confirmed(browser: Browser, office: Office) -> None:
    browser.get("/sites/hospital-f/withdraw")
    assert office.store.invites()[-1].withdrawn_at is None
    assert "is withdrawn" in browser.submit("/sites/hospital-f/withdraw").text
    assert [each.site for each in office.store.invites() if each.withdrawn_at] == ["hospital-f"]
    assert browser.submit("/sites/hospital-f/withdraw").status_code == 409


def test_withdrawing_an_invite_keeps_the_membership(browser: Browser, office: Office) -> None:
    browser.submit("/sites/invite", site="hospital-a", replace="true")
    browser.submit("/sites/hospital-a/withdraw")
    site = office.store.site("hospital-a")
    assert site is not None
    assert site.revoked_at is None


def test_a_site_is_revoked_after_it_was_confirmed(browser: Browser, office: Office) -> None:
    assert "not heard any more" in browser.get("/sites/hospital-a/revoke").text
    site = office.store.site("hospital-a")
    assert site is not None
    assert site.revoked_at is None
    browser.submit("/sites/hospital-a/revoke")
    site = office.store.site("hospital-a")
    assert site is not None
    assert site.revoked_at is not None


@pytest.mark.parametrize("name", ["Hospital", "a b", "", "-x", "<script>"])
def test_what_cannot_be_a_site_is_refused(browser: Browser, office: Office, name: str) -> None:
    before = len(office.store.invites())
    answer = browser.submit("/sites/invite", site=name)
    assert answer.status_code == 422
    assert "<script>" not in answer.text
    assert len(office.store.invites()) == before


def test_a_member_is_invited_again_only_where_that_is_meant(browser: Browser) -> None:
    answer = browser.submit("/sites/invite", site="hospital-a")
    assert answer.status_code == 422
    assert "Tick" in answer.text
    assert (
        invited(browser.submit("/sites/invite", site="hospital-a", replace="true").text).site == "hospital-a"
    )


def test_an_observer_sees_no_invites(watcher: Browser, office: Office) -> None:
    before = len(office.store.invites())
    assert watcher.get("/sites").status_code == 403
    assert watcher.submit("/sites/invite", site="hospital-x").status_code == 403
    assert watcher.submit("/sites/hospital-a/revoke").status_code == 403
    assert len(office.store.invites()) == before
