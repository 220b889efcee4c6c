"""Where a person wanted to go: only ever to our own pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from shared.web.paths import own_path, page_left

ELSEWHERE = [
    "https://evil.example",
    "//evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
]
NO_PATHS = ["javascript:alert(1)", "worklist", "", "/a\nSet-Cookie: x", "/" + "a" * 2000, " /worklist", "/€"]


@pytest.mark.parametrize("text", [*ELSEWHERE, *NO_PATHS])
def test_nothing_leads_elsewhere(text: str) -> None:
    assert own_path(text) == "/"
    assert own_path(text, "/worklist") == "/worklist"


@pytest.mark.parametrize("text", ["/", "/worklist", "/scan/3f9a?finding=2", "/a//b", "/worklist#top"])
def test_own_paths_stay(text: str) -> None:
    assert own_path(text) == text


@given(st.text(alphabet="/\\:a.@\t\n\r ?#%", max_size=12))
def test_what_a_browser_makes_of_it_stays_on_this_machine(text: str) -> None:
    """The oracle does what browsers do (WHATWG URL): leaves out tabs and line ends, takes \\ for /."""
    seen = own_path(text).strip("\x00 \x1f").translate({9: None, 10: None, 13: None}).replace("\\", "/")
    assert seen.startswith("/")
    assert not seen.startswith("//")


def request(method: str, path: str, query: str = "", **headers: str) -> Request:
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode()}
    return Request({**scope, "headers": [(b"host", b"127.0.0.1"), *fields], "scheme": "http"})


def test_the_page_is_the_one_that_was_open() -> None:
    here = "http://127.0.0.1/scan/a?x=1"
    assert page_left(request("GET", "/worklist", "tier=stat")) == "/worklist?tier=stat"
    assert (
        page_left(request("GET", "/worklist/rows", hx_request="true", hx_current_url=here)) == "/scan/a?x=1"
    )
    assert page_left(request("POST", "/scan/a/claim", referer=here)) == "/scan/a?x=1"
    assert page_left(request("POST", "/scan/a/claim")) == "/"
    assert page_left(request("POST", "/scan/a/claim", referer="http://[broken")) == "/"
    assert page_left(request("POST", "/logout", referer="http://127.0.0.1/login?next=/x")) == "/"
