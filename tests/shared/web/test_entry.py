"""Coming in, being sent away, coming back to where one was."""

from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import FastAPI

from shared.web.app import create_app, people_in
from shared.web.people import People
from shared.web.settings import Pages
from shared.web.tries import Tries
from shared.web.visit import Web
from tests.browsing import Browser
from tests.client.web.sample import PASSWORD
from tests.shared.web.conftest import few_pages, product

HTML = {"accept": "text/html"}


def over(app: FastAPI) -> None:
    """Let every session be over by time."""
    web: Web = app.state.web
    web.people.sweep(idle=timedelta(seconds=-1), longest=timedelta(hours=1))


def test_whoever_is_sent_to_log_in_comes_back_to_the_page_asked_for(stranger: Browser) -> None:
    answer = stranger.get("/worklist?tier=stat", headers=HTML)
    assert urlsplit(str(answer.url)).path == "/login"
    assert parse_qs(urlsplit(str(answer.url)).query)["next"] == ["/worklist?tier=stat"]
    assert 'name="next" value="/worklist?tier=stat"' in answer.text
    fields = {"name": "amal", "password": PASSWORD, "next": "/worklist?tier=stat"}
    came = stranger.post("/login", data=fields, headers=HTML)
    assert came.url.path == "/worklist"
    assert came.text == "the list"


@pytest.mark.parametrize("next_page", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_logging_in_leads_to_no_other_machine(stranger: Browser, next_page: str) -> None:
    assert "evil" not in stranger.get("/login", params={"next": next_page}).text
    fields = {"name": "amal", "password": PASSWORD, "next": next_page}
    answer = stranger.post("/login", data=fields, follow_redirects=False)
    assert answer.headers["location"] == "/"


def test_a_session_that_is_over_leads_to_the_login_and_says_so(browser: Browser, app: FastAPI) -> None:
    over(app)
    page = browser.get("/worklist", headers=HTML)
    assert page.url.path == "/login"
    assert "Your session is over" in page.text
    here = {"hx-request": "true", "hx-current-url": "http://127.0.0.1:8090/worklist?tier=stat"}
    part = browser.get("/worklist/rows", headers=here)
    assert part.status_code == 401
    assert part.headers["hx-redirect"] == "/login?ended=true&next=%2Fworklist%3Ftier%3Dstat"
    form = browser.post("/worklist/claim", headers={**HTML, "referer": "http://127.0.0.1:8090/worklist"})
    assert parse_qs(urlsplit(str(form.url)).query) == {"ended": ["true"], "next": ["/worklist"]}
    script = browser.get("/worklist/rows", headers={"accept": "*/*"})
    assert (script.status_code, script.text) == (401, "Log in first.\n")


def test_a_login_takes_no_session_over_that_was_there_before(app: FastAPI, people: People) -> None:
    planted = people.log_in("bo")
    cookie = app.state.web.cookie
    with Browser(app) as browser:
        browser.cookies.set(cookie, planted, domain="127.0.0.1", path="/")
        answer = browser.post("/login", data={"name": "amal", "password": PASSWORD}, follow_redirects=False)
        assert planted not in answer.headers["set-cookie"]
    assert people.session(planted, idle=timedelta(hours=1), longest=timedelta(hours=1)) is None


def test_the_cookie_is_for_this_host_and_no_script(browser: Browser, app: FastAPI, tmp_path: Path) -> None:
    answer = browser.post("/login", data={"name": "amal", "password": PASSWORD}, follow_redirects=False)
    plain = answer.headers["set-cookie"]
    assert plain.startswith("wardround-hospital-north=")
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(plain.split("; "))
    assert "Secure" not in plain  # loopback without TLS: browsers would not send it
    pages = Pages(tls_certificate=tmp_path / "a.pem", tls_key=tmp_path / "a.key")
    tls = create_app(product(tmp_path), pages, app.state.web.people, [few_pages()])
    with Browser(tls) as secure:
        secure.base_url = "https://127.0.0.1:8090"
        fields = {"name": "amal", "password": PASSWORD}
        over_tls = secure.post("/login", data=fields, follow_redirects=False).headers["set-cookie"]
        assert over_tls.startswith("__Host-wardround-hospital-north=")
        assert {"HttpOnly", "Secure", "Path=/", "SameSite=strict"} <= set(over_tls.split("; "))
        assert "domain" not in over_tls.lower()
        page = secure.get("/account")
        assert page.status_code == 200
        assert page.headers["strict-transport-security"].startswith("max-age=")


def test_guessing_has_to_wait_and_the_answer_says_how_long(stranger: Browser, people: People) -> None:
    wrong = {"name": "amal", "password": "a wrong password"}
    answers = [stranger.post("/login", data=wrong) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [403] * 5 + [429]
    assert "Try again in" in answers[-1].text
    assert 0 < int(answers[-1].headers["retry-after"]) <= 61
    right = stranger.post("/login", data={"name": "amal", "password": PASSWORD})
    assert right.status_code == 429  # else the answers would tell which guess was right
    assert stranger.post("/login", data={"name": "bo", "password": PASSWORD}).status_code != 429
    assert [view.method for view in people.views(most=10, path="/login")] == ["LOGIN"] + ["REFUSED"] * 5


def test_a_password_typed_as_a_name_is_not_written_down(stranger: Browser, people: People) -> None:
    stranger.post("/login", data={"name": "my secret password", "password": "amal"})
    (view,) = people.views(most=10)
    assert (view.account, view.method) == ("(no such account)", "REFUSED")


def test_the_present_password_cannot_be_guessed_from_an_open_page(browser: Browser) -> None:
    fields = {"password": "a wrong password", "new": "new password 12", "again": "new password 12"}
    assert [browser.submit("/account", **fields).status_code for _ in range(6)] == [403] * 5 + [429]


def test_the_first_code_cannot_be_guessed(tmp_path: Path) -> None:
    people = people_in(tmp_path)
    app = create_app(product(tmp_path), Pages(), people, [few_pages()])
    fields = {"name": "amal", "password": PASSWORD, "again": PASSWORD}
    with Browser(app) as browser:
        wrong = [browser.post("/first", data={**fields, "code": "1"}).status_code for _ in range(6)]
        assert wrong == [403] * 5 + [429]
        assert people.nobody_yet()
        app.state.web.tries = Tries()
        code = app.state.first_code.text
        assert browser.post("/first", data={**fields, "code": code}).url.path != "/first"
        assert [account.roles for account in people.accounts()] == [("engineer", "reader")]
        again = browser.post("/first", data={**fields, "name": "bo", "code": code})
        assert again.status_code == 422
    people.close()


def test_another_password_ends_all_other_sessions(app: FastAPI, browser: Browser) -> None:
    with Browser(app) as elsewhere:
        elsewhere.log_in("amal", PASSWORD)
        fields = {"password": PASSWORD, "new": "a new long password", "again": "a new long password"}
        assert browser.submit("/account", **fields).status_code == 200
        assert elsewhere.get("/worklist").status_code == 401
    assert browser.get("/worklist").text == "the list"


def test_logging_out_ends_the_session_on_the_server_too(browser: Browser, app: FastAPI) -> None:
    cookie = app.state.web.cookie
    token = browser.cookies[cookie]
    answer = browser.submit("/logout")
    assert answer.url.path == "/login"
    browser.cookies.set(cookie, token, domain="127.0.0.1", path="/")
    assert browser.get("/worklist").status_code == 401
