"""Somebody at the pages, without a real browser."""

import re

import httpx2
from fastapi import FastAPI
from fastapi.testclient import TestClient


class Browser(TestClient):
    """A browser without scripts: keeps cookies, follows redirects, sends the CSRF token of its last page."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(app, base_url="http://127.0.0.1:8090")
        self.csrf = ""

    def log_in(self, name: str, password: str) -> None:
        """Log in and remember the token of the first page."""
        self.post("/login", data={"name": name, "password": password})
        self.csrf = token_of(self.get("/account").text)

    def submit(self, path: str, **fields: str) -> httpx2.Response:
        """Send a form as a page would."""
        return self.post(path, data={"csrf": self.csrf, **fields})


def token_of(page: str) -> str:
    """Find the CSRF token of a page."""
    found = re.search(r'data-csrf="([0-9a-f]{64})"', page)
    assert found is not None, page
    return found[1]
