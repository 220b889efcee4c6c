"""The documents, examples, pins and the bundle against the code they speak of."""

import io
import re
import shutil
import subprocess
import sys
import tomllib
import typing
import warnings
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from flwr.cli.build import build_fab_from_disk
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from client.policy import RELEASES, Budget, Policy
from client.site import Site
from client.site_file import TEMPLATE
from server.results import Results
from shared import __version__
from shared.config import Config
from simulations.scenario import Scenario

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXAMPLE = ROOT / "sites" / "example.yaml"
RESEARCHER = (ROOT / "docs" / "researcher.md").read_text(encoding="utf-8")
NOT_OURS = shutil.ignore_patterns(
    ".[!cg]*", ".git", "runs", "build", "dist", "__pycache__", "*.egg-info", "node_modules", "vendor"
)
MACHINE_PATH = re.compile(rb"(?<![\w.-])/(?:work/|root/|tmp/w\b)")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository without what git ignores."""
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("tree") / "wardround", ignore=NOT_OURS)


def keys(config: type[Config]) -> set[tuple[str, str]]:
    """(class, key) of a configuration class and of every one inside it."""
    found = {(config.__name__, name) for name in config.model_fields}
    for field in config.model_fields.values():
        for inner in inner_classes(field.annotation):
            found |= keys(inner)
    return found


def inner_classes(annotation: object) -> Iterator[type[Config]]:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from inner_classes(argument)


def stated(value: object) -> set[tuple[str, str]]:
    """(class, key) of everything that was written out, rather than left at its default."""
    if isinstance(value, Config):
        own = {(type(value).__name__, name) for name in value.model_fields_set}
        return own.union(*(stated(inner) for _, inner in value))
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    return set().union(*(stated(inner) for inner in inside))


def test_the_version_is_one() -> None:
    assert PROJECT["version"] == __version__
    assert f"\n## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_dependency_is_pinned_to_a_version_it_allows() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {}
    for requirement in (Requirement(line) for line in lines if not line.startswith("#")):
        (pin,) = requirement.specifier
        assert (pin.operator, requirement.url, "+" in pin.version) == ("==", None, False), str(requirement)
        pins[canonicalize_name(requirement.name)] = pin.version
    assert not {name for name in pins if name.startswith(("nvidia", "cuda", "wardround"))}
    for asked in map(Requirement, [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]):
        assert asked.specifier.contains(pins[canonicalize_name(asked.name)]), str(asked)


def test_no_file_names_a_path_of_the_machine_it_was_written_on(tree: Path) -> None:
    files = [path for path in tree.rglob("*") if path.is_file()]
    assert len(files) > 100
    assert [path.name for path in files if MACHINE_PATH.search(path.read_bytes())] == []
    assert MACHINE_PATH.search(b"see " + b"/" + b"root/x")


def test_every_relative_link_leads_somewhere(tree: Path) -> None:
    for page in tree.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        for target, _, anchor in (link.partition("#") for link in re.findall(r"\]\(([^)\s]+)\)", text)):
            if target.startswith("https:"):
                continue
            aim = page.parent / target if target else page
            assert aim.exists(), f"{page.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", aim.read_text(encoding="utf-8"), flags=re.MULTILINE)
                assert anchor in {h.lower().replace(" ", "-") for h in headings}, f"{page.name}: #{anchor}"


def test_the_researchers_page_shows_every_key_of_a_scenario() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", RESEARCHER, flags=re.DOTALL)
    scenarios = [Scenario.parse(yaml.safe_load(block), "docs/researcher.md") for block in blocks]
    assert keys(Scenario) - set().union(*map(stated, scenarios)) == set()


def test_every_scenario_that_is_shipped_can_be_read_and_is_named_to_the_researcher() -> None:
    shipped = sorted((ROOT / "simulations").glob("*.yaml"))
    assert len(shipped) > 2
    for path in shipped:
        Scenario.read(path)
        assert f"simulations/{path.name}" in RESEARCHER


def test_the_researchers_page_names_every_key_of_results_json() -> None:
    for name, field in Results.model_fields.items():
        assert f"`{field.alias or name}`" in RESEARCHER


def test_the_example_site_states_every_key_with_a_comment_and_its_default() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == TEMPLATE, "write client/site_file.py's TEMPLATE into it"
    site = Site.read(EXAMPLE)
    assert stated(site) == keys(Site)
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    for above, line in pairwise(lines):
        if re.match(r" *[a-z_]+:", line):
            assert above.strip().startswith("#"), f"no comment above {line!r}"
    for config, value in ((Site, site), (Policy, site.policy), (Budget, site.policy.budget)):
        for name, field in config.model_fields.items():
            if not field.is_required():
                assert getattr(value, name) == field.default, name
    assert site.policy.release == RELEASES


@pytest.fixture(scope="module")
def bundle(tree: Path) -> zipfile.ZipFile:
    """What Flower would send to the nodes of a federation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Flower's own, about a pattern library
        return zipfile.ZipFile(io.BytesIO(build_fab_from_disk(tree)))


def test_flowers_bundle_holds_the_three_packages_and_nothing_else(bundle: zipfile.ZipFile) -> None:
    folders = [ROOT / part for part in ("server", "client", "shared")]
    code = {path.relative_to(ROOT).as_posix() for folder in folders for path in folder.rglob("*.py")}
    assert set(bundle.namelist()) == code | {"pyproject.toml", "README.md", "LICENSE", ".info/CONTENT"}


def test_flowers_bundle_is_enough_to_load_both_apps(bundle: zipfile.ZipFile, tmp_path: Path) -> None:
    bundle.extractall(tmp_path)
    program = "import client.app, server.app; print(client.app.__file__, server.app.__file__)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / part / "app.py") for part in ("client", "server")]
