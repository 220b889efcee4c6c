"""`wardround site account ...` as a hospital types it; the coordinator's is the same (tests/server)."""

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from client.cli import app
from client.site import Site
from shared.errors import ConfigError
from shared.web.app import people_in
from shared.web.people import People

Typed = Callable[..., Result]
LONG = "correct horse battery staple"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text("name: north\ndata: data\nwork: work\n")
    return path


@pytest.fixture
def typed(site: Path) -> Typed:
    """Type a command and what it asks for."""

    def run(*words: str, answers: str = "") -> Result:
        command, *others = words
        arguments = ["account", command, str(site), *others]
        return CliRunner().invoke(app, arguments, input=answers, catch_exceptions=False)

    return run


def people_of(site: Path) -> People:
    return people_in(Site.read(site).work)


def test_the_password_is_asked_for_and_never_shown(typed: Typed, site: Path) -> None:
    found = typed("add", "amal", "--role", "engineer", "--role", "reader", answers=f"{LONG}\n{LONG}\n")
    assert found.exit_code == 0
    assert "amal may log in" in found.output
    assert LONG not in found.output
    with closing(people_of(site)) as people:
        assert people.password_is("amal", LONG)
        (account,) = people.accounts()
        assert (account.roles, account.one_time) == (("engineer", "reader"), False)
    assert typed("list").output.split() == ["amal", "active", "engineer,", "reader"]


def test_no_option_takes_a_password(typed: Typed) -> None:
    assert typed("add", "amal", "--role", "reader", "--password", LONG).exit_code == 2


def test_a_one_time_password_is_printed_and_serves_once(typed: Typed, site: Path) -> None:
    output = typed("add", "bo", "--role", "reader", "--one-time").output
    found = re.search(r"choose another: (\S+)", output)
    assert found is not None
    with closing(people_of(site)) as people:
        assert people.password_is("bo", found[1])
        assert people.accounts()[0].one_time
    assert "one-time password" in typed("list").output


def test_what_is_typed_is_written_down(typed: Typed, site: Path) -> None:
    typed("add", "amal", "--role", "engineer", "--one-time")
    typed("add", "bo", "--role", "reader", "--one-time")
    typed("disable", "bo")
    typed("enable", "bo")
    typed("password", "bo", answers=f"{LONG}\n{LONG}\n")
    with closing(people_of(site)) as people:
        views = people.views(most=10)
        assert people.password_is("bo", LONG)
    assert [view.path.split(": ")[1] for view in reversed(views)] == [
        "made, engineer",
        "made, reader",
        "disabled",
        "enabled",
        "another password",
    ]
    assert all(view.account.endswith("(terminal)") for view in views)


def test_what_cannot_be_is_refused(typed: Typed) -> None:
    with pytest.raises(ConfigError, match="no role 'king'"):
        typed("add", "amal", "--role", "king", "--one-time")
    with pytest.raises(ConfigError, match="12 characters"):
        typed("add", "amal", "--role", "engineer", answers="short\nshort\n")
    typed("add", "amal", "--role", "engineer", "--one-time")
    with pytest.raises(ConfigError, match="last who can manage"):
        typed("disable", "amal")
    with pytest.raises(ConfigError, match="no account"):
        typed("enable", "nobody")
    assert "nobody" not in typed("list").output


def test_without_accounts_the_list_says_so(typed: Typed) -> None:
    assert "nobody has an account yet" in typed("list").output
