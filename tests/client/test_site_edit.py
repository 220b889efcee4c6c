"""Keys of a site.yaml are changed, and nothing else of it."""

import stat
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from client.site import Site
from client.site_edit import change_site, with_keys
from client.site_file import TEMPLATE
from shared.errors import ConfigError

THEN = {"data": "/srv/new", "layout": "manifest", "patients": None}


def test_every_other_line_of_the_template_stays_as_it_is() -> None:
    changed = with_keys(TEMPLATE, THEN, "site.yaml").splitlines()
    different = [(a, b) for a, b in zip(TEMPLATE.splitlines(), changed, strict=True) if a != b]
    assert different == [("data: scans", "data: /srv/new"), ("layout: null", "layout: manifest")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data: old  # why\nwork: w\n", "data: /srv/new  # why\nwork: w\n"),
        ("data:\nwork: w\n", "data: /srv/new\nwork: w\n"),
        ("data: 'an old one'\nwork: w", "data: /srv/new\nwork: w"),
        ('"data" : >-\n  folded\n  text\nwork: w\n', '"data" : /srv/new\nwork: w\n'),
        ("work: w", "work: w\ndata: /srv/new\n"),
        ("work: w  # the last\n# a comment\n", "work: w  # the last\n# a comment\ndata: /srv/new\n"),
    ],
)
def test_one_key(text: str, expected: str) -> None:
    changed = with_keys(text, {"data": "/srv/new"}, "site.yaml")
    assert yaml.safe_load(changed) == {"data": "/srv/new", "work": "w"}
    assert "#" not in text or "#" in changed
    if "folded" not in text:
        assert changed == expected


@pytest.mark.parametrize("text", ["", "[]", "a", "{work: w}", "data: &a old\nwork: *a\n"])
def test_what_cannot_be_changed_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        with_keys(text, {"data": "/srv/new"}, "site.yaml")


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1))
def test_any_path_is_read_back(path: str) -> None:
    changed = with_keys(TEMPLATE, {"data": path}, "site.yaml")
    before = yaml.safe_load(TEMPLATE)
    assert yaml.safe_load(changed) == {**before, "data": path}


def test_the_file_before_is_kept(tmp_path: Path) -> None:
    site_file = tmp_path / "site.yaml"
    site_file.write_text(TEMPLATE, encoding="utf-8")
    site_file.chmod(0o640)
    change_site(site_file, THEN)
    assert Site.read(site_file).data == Path("/srv/new")
    assert (tmp_path / "site.yaml.before").read_text(encoding="utf-8") == TEMPLATE
    assert stat.S_IMODE(site_file.stat().st_mode) == 0o640


def test_a_value_that_makes_no_site_changes_nothing(tmp_path: Path) -> None:
    site_file = tmp_path / "site.yaml"
    site_file.write_text(TEMPLATE, encoding="utf-8")
    with pytest.raises(ConfigError):
        change_site(site_file, {"name": "Not A Name"})
    assert site_file.read_text(encoding="utf-8") == TEMPLATE
    assert not (tmp_path / "site.yaml.before").exists()


def test_a_link_to_the_file_stays_one(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "site.yaml").write_text(TEMPLATE, encoding="utf-8")
    link = tmp_path / "site.yaml"
    link.symlink_to(tmp_path / "etc" / "site.yaml")
    change_site(link, THEN)
    assert link.is_symlink()
    assert "data: /srv/new" in (tmp_path / "etc" / "site.yaml").read_text(encoding="utf-8")
