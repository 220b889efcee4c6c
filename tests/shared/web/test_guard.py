"""What every answer carries and every request must pass."""

import logging

import pytest
from fastapi import FastAPI
from starlette.types import Message, Scope

from shared.web.guard import host_name
from shared.web.people import People
from tests.browsing import Browser
from tests.client.web.sample import PASSWORD
from tests.shared.web.conftest import CASE

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
HERE = "http://127.0.0.1:8090"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/worklist", 200),
        ("/static/shared/style.css", 200),
        ("/static/shared/nothing.css", 404),
        ("/nothing", 404),
        ("/gone", 404),
        ("/breaks", 500),
    ],
)
def test_every_answer_is_guarded(browser: Browser, path: str, status: int) -> None:
    answer = browser.get(path)
    assert answer.status_code == status
    assert HEADERS.items() <= dict(answer.headers).items()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "server" not in answer.headers
    assert answer.headers["cache-control"] == (
        "no-cache" if status == 200 and "static" in path else "no-store"
    )


def test_static_files_are_kept_by_browsers_and_asked_for_again(stranger: Browser) -> None:
    first = stranger.get("/static/shared/style.css")
    again = stranger.get("/static/shared/style.css", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["cache-control"]) == (304, b"", "no-cache")
    assert HEADERS.items() <= dict(again.headers).items()


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.", "127.0.0.2:8090"]
)
def test_other_names_are_refused(browser: Browser, host: str) -> None:
    """DNS rebinding: a page of evil.example whose name now resolves to this machine."""
    answer = browser.get("/worklist", headers={"host": host})
    assert answer.status_code == 421
    assert "pages.names" in answer.text
    assert HEADERS.items() <= dict(answer.headers).items()


@pytest.mark.parametrize("host", ["127.0.0.1:8090", "LOCALHOST:1", "localhost", "[::1]:8090", "[::1]"])
def test_our_own_names_are_served(stranger: Browser, host: str) -> None:
    assert stranger.get("/login", headers={"host": host}).status_code == 200


def test_a_host_is_read_without_its_port() -> None:
    assert [host_name(one) for one in ("a:1", "A", "[::1]:8090", "[::1]")] == ["a", "a", "::1", "::1"]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "null"},
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": f"{HERE}.evil.example"},
        {"origin": f"ftp://{HERE[7:]}"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": HERE, "sec-fetch-site": "cross-site"},
    ],
)
def test_no_other_page_is_obeyed_even_with_the_token(browser: Browser, headers: dict[str, str]) -> None:
    fields = {"csrf": browser.csrf, "scan": "a"}
    assert browser.post("/worklist/claim", data=fields, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": HERE}, {"origin": HERE, "sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}],
)
def test_our_own_pages_are_obeyed(browser: Browser, headers: dict[str, str]) -> None:
    fields = {"csrf": browser.csrf, "scan": "a"}
    assert browser.post("/worklist/claim", data=fields, headers=headers).text == "claimed a"


def test_a_form_needs_the_token_of_its_own_session(app: FastAPI, browser: Browser, people: People) -> None:
    with Browser(app) as other:
        other.log_in("amal", PASSWORD)
        tokens = ["", "0" * 64, "ä", other.csrf]
    statuses = [browser.post("/worklist/claim", data={"csrf": one, "scan": "a"}) for one in tokens]
    assert [answer.status_code for answer in statuses] == [403] * 4
    assert browser.post("/worklist/claim", data={"scan": "a"}).status_code == 403
    by_header = {"X-CSRF-Token": browser.csrf}
    assert browser.post("/worklist/claim", data={"scan": "a"}, headers=by_header).text == "claimed a"
    stream = {"content-type": "application/octet-stream"}
    assert browser.post("/worklist/claim", content=b"csrf=x", headers=stream).status_code == 403
    found = people.views(most=10, path="/worklist/claim")
    assert sorted(view.method for view in found) == ["POST"] + ["REFUSED"] * 6


def test_a_role_that_is_missing_is_refused_and_written_down(app: FastAPI, people: People) -> None:
    with Browser(app) as bo:
        bo.log_in("bo", PASSWORD)
        answer = bo.get("/people")
        assert answer.status_code == 403
        assert "role coordinator or engineer" in answer.text
    assert [view.method for view in people.views(most=1, path="/people")] == ["REFUSED"]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"])
def test_other_methods_are_refused_with_those_that_are_allowed(browser: Browser, method: str) -> None:
    answer = browser.request(method, "/worklist")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"


def test_what_breaks_tells_nobody_which_case_it_was(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = browser.get("/breaks")
    assert answer.status_code == 500
    assert CASE not in answer.text
    logged = "\n".join(
        f"{record.getMessage()}{record.exc_text}"
        for record in caplog.records
        if record.levelno >= logging.INFO
    )
    assert "GET /breaks failed" in logged
    assert "ValueError" in logged
    assert "KeyError" in logged  # the cause too
    assert "conftest.py" in logged  # and where
    assert CASE not in logged


def test_a_part_of_a_page_tells_its_error_on_the_page(browser: Browser) -> None:
    answer = browser.get("/breaks", headers={"hx-request": "true"})
    assert answer.headers["hx-retarget"] == "#message"
    assert "<html" not in answer.text


@pytest.mark.anyio
@pytest.mark.parametrize(
    "path",
    [
        "/static/shared/../people.py",
        "/static/shared/../../../pyproject.toml",
        "/static/shared//etc/passwd",
        "/static/shared/vendor/../../people.py",
        "/static/shared/..\\people.py",
        "/static/shared/\x00",
        "/static/shared/" + "a" * 5000,
    ],
)
async def test_no_path_leads_out_of_the_static_files(app: FastAPI, path: str) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    assert sent[0]["status"] == 404
