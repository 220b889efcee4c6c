"""What the pages run in the browser: fetched once, and missed early."""

import json
import sys
from pathlib import Path

import pytest

from shared.errors import ConfigError
from shared.web import app as app_module
from shared.web import vendor
from shared.web.app import create_app
from shared.web.look import HERE
from shared.web.people import People
from shared.web.settings import Pages
from tests.shared.web.conftest import few_pages, product

NPM = """\
import sys
from pathlib import Path
assert sys.argv[1:3] == ["ci", "--ignore-scripts"], sys.argv
for name in {names!r}:
    path = Path("node_modules") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("of " + name)
"""
FILES = [*vendor.FILES.values(), *(f"{package}/LICENSE" for package in vendor.LICENCES)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(vendor, "HERE", tmp_path)
    monkeypatch.setattr(vendor, "TARGET", tmp_path / "vendor")
    return tmp_path


def use(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    """Let a script stand for npm."""
    script = folder / "npm.py"
    script.write_text(text)
    monkeypatch.setattr(vendor, "_npm", lambda: [sys.executable, str(script)])


def test_what_npm_installs_is_copied_with_its_licences(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, folder, NPM.format(names=FILES))
    vendor.fetch()
    found = sorted(path.name for path in (folder / "vendor").iterdir())
    assert found == sorted([*vendor.FILES, "LICENCES.txt"])
    assert (folder / "vendor" / "htmx.js").read_text() == "of htmx.org/dist/htmx.min.js"
    licences = (folder / "vendor" / "LICENCES.txt").read_text()
    assert all(f"of {package}/LICENSE" in licences for package in vendor.LICENCES)


def test_an_npm_that_fails_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, folder, "raise SystemExit(3)")
    with pytest.raises(ConfigError, match="registry"):
        vendor.fetch()


def test_pages_without_the_browsers_part_are_refused(
    people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "VENDOR", tmp_path)
    with pytest.raises(ConfigError, match="make pages"):
        create_app(product(tmp_path), Pages(), people, [few_pages()])


def test_the_lock_file_pins_every_package_by_its_hash() -> None:
    packages = json.loads((HERE / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    installed = {name: values for name, values in packages.items() if name}
    assert {f"node_modules/{package}" for package in vendor.LICENCES} <= installed.keys()
    assert all(values["integrity"].startswith("sha512-") for values in installed.values())
