"""`wardround site run`: what it says before it can begin, and what it leaves when it ends."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from client.cli import app
from client.supervisor import Supervisor
from shared.errors import FederationError
from tests.client.hospital import site_at


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(site_at(tmp_path / "data", tmp_path / "work").to_yaml(), encoding="utf-8")
    return path


def test_a_site_that_is_not_enrolled_is_told_what_to_type(site_file: Path) -> None:
    with pytest.raises(FederationError, match="north is not enrolled") as refusal:
        Supervisor.of(site_file, lambda _: None)
    assert f"wardround site enrol {site_file} --invite INVITE" in str(refusal.value)


def test_the_command_ends_with_that_error_and_starts_nothing(site_file: Path) -> None:
    done = CliRunner().invoke(app, ["run", str(site_file)])
    assert isinstance(done.exception, FederationError)
    assert done.stdout == ""
    assert not (site_file.parent / "work").exists()
