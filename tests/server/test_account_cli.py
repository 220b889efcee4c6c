"""`wardround coordinator account ...`; what it shares with a site's is tested in tests/client."""

from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.cli import app
from server.settings import FILE
from shared.errors import ConfigError
from shared.web.app import people_in


def test_a_coordinators_accounts_are_in_its_folder_with_its_roles(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("address: 10.0.0.1\n")

    def typed(*words: str) -> str:
        arguments = ["account", *words, "--dir", str(tmp_path)]
        return CliRunner().invoke(app, arguments, catch_exceptions=False).output

    typed("add", "amal", "--role", "coordinator", "--one-time")
    typed("add", "bo", "--role", "observer", "--one-time")
    typed("disable", "bo")
    assert [line.split() for line in typed("list").splitlines()] == [
        ["amal", "one-time", "password", "coordinator"],
        ["bo", "disabled", "observer"],
    ]
    typed("enable", "bo")
    assert "choose another" in typed("password", "bo", "--one-time")
    with closing(people_in(tmp_path)) as people:
        assert people.count_views(path="/people bo") == 4
    with pytest.raises(ConfigError, match="no role 'reader'"):
        typed("add", "cleo", "--role", "reader", "--one-time")
