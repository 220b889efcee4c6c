"""The coordinator's app over a folder with runs, and people who are logged in."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fastapi import FastAPI

from server.web.app import coordinator_app
from server.web.office import Office
from server.web.roles import ROLES
from shared.web.app import people_in
from tests.browsing import Browser
from tests.server.web.sample import ACCOUNT, PASSWORD, WATCHER, make


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A coordinator's folder with two accounts, of all roles and of one that looks; only ever copied."""
    made = make(tmp_path_factory.mktemp("sample") / "coordinator")
    with closing(people_in(made)) as people:
        people.add(ACCOUNT, PASSWORD, ROLES)
        people.add(WATCHER, PASSWORD, ["observer"])
    return made


@pytest.fixture
def folder(sample: Path, tmp_path: Path) -> Path:
    """A copy of `sample` that a test may change."""
    return Path(shutil.copytree(sample, tmp_path / "coordinator"))


@pytest.fixture
def app(folder: Path) -> Iterator[FastAPI]:
    """The coordinator's app."""
    made = coordinator_app(folder)
    yield made
    made.state.web.people.close()
    made.state.office.store.close()


@pytest.fixture
def office(app: FastAPI) -> Office:
    """What the app works on."""
    found: Office = app.state.office
    return found


@pytest.fixture
def browser(app: FastAPI) -> Iterator[Browser]:
    """Somebody who may do everything."""
    with Browser(app) as browser:
        browser.log_in(ACCOUNT, PASSWORD)
        yield browser


@pytest.fixture
def watcher(app: FastAPI) -> Iterator[Browser]:
    """Somebody who only looks."""
    with Browser(app) as browser:
        browser.log_in(WATCHER, PASSWORD)
        yield browser


@pytest.fixture
def training(office: Office) -> str:
    """The run that is under way."""
    return office.store.runs(("running",))[0].id


@pytest.fixture
def finished(office: Office) -> list[str]:
    """The runs that finished, the oldest first."""
    return [row.id for row in office.store.runs(("finished",))]
