"""The hospital's app over read scans, and somebody who is logged in."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from client.web.app import hospital_app
from client.web.hospital import Hospital
from tests.browsing import Browser
from tests.client.web.sample import ACCOUNT, PASSWORD, make


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hospital with read scans; only ever copied."""
    return make(tmp_path_factory.mktemp("sample")).parent


@pytest.fixture
def site_file(sample: Path, tmp_path: Path) -> Path:
    """The site.yaml of a copy of `sample` that a test may change."""
    shutil.copytree(sample, tmp_path / "hospital")
    for record in (tmp_path / "hospital").rglob("source.json"):  # scans are read from the copy, too
        record.write_text(record.read_text().replace(f"{sample}/", f"{tmp_path / 'hospital'}/"))
    return tmp_path / "hospital" / "site.yaml"


@pytest.fixture
def app(site_file: Path) -> Iterator[FastAPI]:
    """The hospital's app, with one account that has all roles."""
    made = hospital_app(site_file)
    made.state.web.people.add(ACCOUNT, PASSWORD, made.state.web.look.product.roles)
    yield made
    made.state.web.people.close()
    made.state.hospital.close()


@pytest.fixture
def hospital(app: FastAPI) -> Hospital:
    """What the app works on."""
    found: Hospital = app.state.hospital
    return found


@pytest.fixture
def browser(app: FastAPI) -> Iterator[Browser]:
    """Somebody who is logged in."""
    with Browser(app) as browser:
        browser.log_in(ACCOUNT, PASSWORD)
        yield browser
