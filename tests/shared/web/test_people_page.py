"""The page of accounts."""

import re

from fastapi import FastAPI

from shared.web.people import People
from tests.browsing import Browser
from tests.client.web.sample import PASSWORD

OWN = "a password of my own"


def shown_password(page: str) -> str:
    found = re.search(r'<code class="secret">([^<]+)</code>', page)
    assert found is not None, page
    return found[1]


def test_somebody_new_chooses_a_password_before_anything_else(
    browser: Browser, app: FastAPI, people: People
) -> None:
    made = browser.submit("/people/add", name="cleo", role="reader")
    one_time = shown_password(made.text)
    assert one_time not in browser.get("/people").text
    with Browser(app) as cleo:
        cleo.log_in("cleo", one_time)
        page = cleo.get("/worklist", headers={"accept": "text/html"})
        assert page.url.path == "/account"
        assert "Choose one of your own" in page.text
        assert cleo.get("/worklist/rows", headers={"hx-request": "true"}).headers["hx-redirect"] == "/account"
        assert cleo.submit("/worklist/claim", scan="a").status_code == 401
        same = cleo.submit("/account", password=one_time, new=one_time, again=one_time)
        assert same.status_code == 422
        cleo.submit("/account", password=one_time, new=OWN, again=OWN)
        assert cleo.get("/worklist").text == "the list"
    assert not people.password_is("cleo", one_time)


def test_a_new_password_for_somebody_ends_what_they_had_open(browser: Browser, app: FastAPI) -> None:
    with Browser(app) as bo:
        bo.log_in("bo", PASSWORD)
        one_time = shown_password(browser.submit("/people/password", name="bo").text)
        assert bo.get("/worklist").status_code == 401
        assert bo.post("/login", data={"name": "bo", "password": PASSWORD}).status_code == 403
        bo.log_in("bo", one_time)
        assert bo.get("/account").status_code == 200


def test_ones_own_password_is_changed_on_ones_own_page(browser: Browser, people: People) -> None:
    assert browser.submit("/people/password", name="amal").url.path == "/account"
    assert people.password_is("amal", PASSWORD)


def test_roles_count_from_the_next_request_on(browser: Browser, app: FastAPI) -> None:
    with Browser(app) as bo:
        bo.log_in("bo", PASSWORD)
        assert bo.get("/people").status_code == 403
        browser.submit("/people/roles", name="bo", role="engineer")
        assert bo.get("/people").status_code == 200
        assert bo.get("/worklist").status_code == 403


def test_disabled_is_out_at_once_and_may_come_back(browser: Browser, app: FastAPI) -> None:
    with Browser(app) as bo:
        bo.log_in("bo", PASSWORD)
        page = browser.submit("/people/disable", name="bo")
        assert "bo cannot log in any more." in page.text
        assert "disabled since" in page.text
        assert bo.get("/worklist").status_code == 401
        browser.submit("/people/enable", name="bo")
        bo.log_in("bo", PASSWORD)
        assert bo.get("/worklist").text == "the list"


def test_what_cannot_be_is_told_on_the_page_and_changes_nothing(browser: Browser, people: People) -> None:
    before = people.accounts()
    for path, fields, says in [
        ("disable", {"name": "amal"}, "last who can manage"),
        ("roles", {"name": "amal", "role": "reader"}, "last who can manage"),
        ("roles", {"name": "bo"}, "no role"),
        ("roles", {"name": "bo", "role": "king"}, "no role &#39;king&#39;"),
        ("add", {"name": "bo", "role": "reader"}, "already"),
        ("add", {"name": " ", "role": "reader"}, "1 to 64"),
        ("add", {"name": "cleo"}, "no role"),
        ("enable", {"name": "nobody"}, "no account nobody"),
    ]:
        answer = browser.submit(f"/people/{path}", **fields)
        assert answer.status_code == 422, path
        assert says in answer.text, path
        assert 'role="alert"' in answer.text
    assert people.accounts() == before


def test_every_change_is_written_down_with_who_made_it(browser: Browser, people: People) -> None:
    browser.submit("/people/add", name="cleo", role="reader")
    browser.submit("/people/roles", name="cleo", role="engineer")
    browser.submit("/people/disable", name="cleo")
    found = [view for view in people.views(most=100) if view.method == "ACCOUNT"]
    assert [view.path for view in reversed(found)] == [
        "/people cleo: made, reader",
        "/people cleo: engineer",
        "/people cleo: disabled",
    ]
    assert {view.account for view in found} == {"amal"}


def test_a_name_is_shown_as_text(browser: Browser) -> None:
    page = browser.submit("/people/add", name="<script>alert(1)</script>", role="reader").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_no_password_stands_in_the_views(browser: Browser, people: People) -> None:
    one_time = shown_password(browser.submit("/people/add", name="cleo", role="reader").text)
    browser.submit("/account", password=PASSWORD, new=OWN, again=OWN)
    text = "".join(people.views_csv())
    assert not any(secret in text for secret in (one_time, PASSWORD, OWN))
