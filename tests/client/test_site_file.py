"""The commented site.yaml that is written for a hospital."""

from pathlib import Path

import pytest

from client.site import Site
from client.site_file import TEMPLATE, site_file, write_site_file
from shared.errors import ConfigError


def test_what_is_given_is_filled_in_and_every_comment_stays(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    values = {"name": "north", "data": "/scans #1", "patients": r"C:\1", "work": "'w': x"}
    write_site_file(path, force=False, **values)
    site = Site.read(path)
    assert (site.name, str(site.data), str(site.patients)) == ("north", "/scans #1", str(tmp_path / r"C:\1"))
    assert site.work == tmp_path / "'w': x"
    comments = [line for line in TEMPLATE.splitlines() if line.lstrip().startswith("#")]
    assert [line for line in path.read_text().splitlines() if line.lstrip().startswith("#")] == comments
    assert site_file() == TEMPLATE


def test_a_file_that_is_there_is_written_over_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        write_site_file(path, force=False)
    assert path.read_text() == "mine"
    write_site_file(path, force=True)
    assert path.read_text() == TEMPLATE


def test_a_name_that_no_site_may_have_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name"):
        write_site_file(tmp_path / "site.yaml", force=False, name="North Hospital")
    assert list(tmp_path.iterdir()) == []
