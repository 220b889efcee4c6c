"""How much one browser may ask of this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response

from shared.web import people_page
from shared.web.app import create_app
from shared.web.bounds import LARGEST_FORM_BYTES
from shared.web.people import People
from shared.web.settings import Pages
from tests.browsing import Browser
from tests.client.web.sample import PASSWORD
from tests.shared.web.conftest import Reader, few_pages, product


@pytest.fixture
def small(people: People, tmp_path: Path) -> FastAPI:
    """An app that answers 60 requests a minute of one session, and 240 of one address."""
    pages = Pages(requests_a_minute=60)
    return create_app(product(tmp_path), pages, people, [few_pages(), people_page.router])


def statuses(browser: Browser, count: int, **headers: str) -> list[int]:
    return [browser.get("/worklist/rows", headers=headers).status_code for _ in range(count)]


def test_one_session_that_asks_too_often_is_told_on_a_readable_page(small: FastAPI) -> None:
    with Browser(small) as amal, Browser(small) as bo:
        amal.log_in("amal", PASSWORD)
        bo.log_in("bo", PASSWORD)
        found = statuses(amal, 80)
        assert set(found) == {200, 429}
        assert 55 <= found.index(429) <= 65
        told = amal.get("/worklist")
        assert told.status_code == 429
        assert "<h1>Too many requests</h1>" in told.text
        assert int(told.headers["retry-after"]) >= 1
        assert "content-security-policy" in told.headers
        assert bo.get("/worklist").text == "the list"  # another session of the same address


def test_a_new_cookie_each_time_is_no_way_around(small: FastAPI) -> None:
    with Browser(small) as browser:
        cookie = small.state.web.cookie
        found = [statuses(browser, 1, cookie=f"{cookie}=made-up-{n}")[0] for n in range(300)]
    assert found.count(401) in range(238, 260)
    assert set(found[-20:]) == {429}


def test_a_form_that_is_too_large_is_refused(browser: Browser) -> None:
    fields = {"csrf": browser.csrf, "scan": "a" * LARGEST_FORM_BYTES}
    declared = browser.post("/worklist/claim", data=fields)
    assert declared.status_code == 413
    assert "4.2 MB" in declared.text

    def pieces() -> Iterator[bytes]:
        yield f"csrf={browser.csrf}&scan=".encode()
        for _ in range(5):
            yield b"a" * 2**20

    form = {"content-type": "application/x-www-form-urlencoded"}
    undeclared = browser.post("/worklist/claim", content=pieces(), headers=form)
    assert undeclared.status_code == 413
    assert browser.submit("/worklist/claim", scan="a" * 900_000).status_code == 200


def test_pages_that_take_much_bound_it_themselves(people: People, tmp_path: Path) -> None:
    """Nothing of it is read before it is known who sends it: a form with fields would be."""
    router = APIRouter()

    @router.post("/upload/whole")
    async def whole(visit: Reader, request: Request) -> Response:
        return Response(str(len(await request.body())))

    made = create_app(product(tmp_path), Pages(), people, [router], large=["/upload/"])
    content = b"a" * (LARGEST_FORM_BYTES + 1)
    with Browser(made) as browser:
        browser.log_in("amal", PASSWORD)
        headers = {"content-type": "text/plain", "X-CSRF-Token": browser.csrf}
        assert browser.post("/upload/whole", content=content, headers=headers).text == str(len(content))
    with pytest.raises(RuntimeError, match="takes much"):
        create_app(product(tmp_path), Pages(), people, [few_pages()], large=["/worklist/"])
