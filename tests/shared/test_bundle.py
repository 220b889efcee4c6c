"""The bundle: what is in it, and that its hash says so and nothing else."""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from random import Random

import pytest
from flwr.cli.install import install_from_fab
from flwr.common.config import get_fab_config, get_metadata_from_config
from flwr.common.constant import FAB_MAX_SIZE
from hypothesis import given
from hypothesis import strategies as st

from shared import __version__
from shared.bundle import PACKAGES, SETTING, bundle, bundle_digest, pack

ROOT = Path(__file__).parents[2]
NAMES = st.from_regex(r"[a-z_]{1,8}(/[a-z_]{1,8}){0,2}\.py", fullmatch=True)
SOURCES = st.dictionaries(NAMES, st.binary(max_size=64), min_size=1, max_size=6)


@pytest.fixture(autouse=True)
def built_now() -> None:
    """Somebody may have edited a file since another test asked for the bundle."""
    bundle.cache_clear()
    bundle_digest.cache_clear()


def contents(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def installed() -> dict[str, bytes]:
    """Python files of the three packages, found another way than the bundle finds them."""
    paths = [path for package in PACKAGES for path in (ROOT / package).glob("**/*.py")]
    return {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in paths}


def test_it_holds_the_python_files_of_the_three_packages_and_two_lists_and_nothing_else() -> None:
    found = contents(bundle())
    assert set(found) - set(installed()) == {"pyproject.toml", ".info/CONTENT"}
    assert {name: data for name, data in found.items() if name.endswith(".py")} == installed()


def test_no_tests_sites_simulations_or_caches_are_in_it() -> None:
    for name in contents(bundle()):
        folder = name.split("/")[0]
        assert folder in {"server", "client", "shared", "pyproject.toml", ".info"}, name
        assert "__pycache__" not in name
        assert name.endswith((".py", "/CONTENT", ".toml")), name


def test_flower_reads_it_as_an_app_of_this_version() -> None:
    config = get_fab_config(bundle())
    assert get_metadata_from_config(config) == ("wardround/wardround", __version__)
    app = config["tool"]["flwr"]["app"]
    assert app["components"] == {"serverapp": "server.app:app", "clientapp": "client.app:app"}
    assert app["config"] == {SETTING: ""}
    assert config["project"]["dependencies"] == []


def test_flowers_installer_verifies_and_unpacks_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = install_from_fab(bundle(), install_dir=tmp_path, skip_prompt=True)
    unpacked = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.glob("**/*") if p.is_file()}
    assert unpacked == {k: v for k, v in contents(bundle()).items() if k != ".info/CONTENT"}
    assert "Successfully installed" in capsys.readouterr().out


def test_it_is_far_below_flowers_limit() -> None:
    assert len(bundle()) < FAB_MAX_SIZE / 4


def test_the_digest_is_of_the_bytes() -> None:
    assert bundle_digest() == hashlib.sha256(bundle()).hexdigest()


@given(SOURCES, st.randoms())
def test_equal_sources_in_any_order_give_equal_bytes(sources: dict[str, bytes], random: Random) -> None:
    items = list(sources.items())
    random.shuffle(items)
    assert pack(dict(items)) == pack(sources)
    assert {k: v for k, v in contents(pack(sources)).items() if k != ".info/CONTENT"} == sources


@given(SOURCES, SOURCES)
def test_other_sources_have_another_digest(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    assert (pack(one) == pack(other)) == (one == other)


@given(SOURCES, st.data())
def test_any_changed_byte_or_name_is_another_bundle(sources: dict[str, bytes], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(sources)))
    content = sources[name]
    if content:
        at = data.draw(st.integers(0, len(content) - 1))
        flipped = content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :]
        assert pack({**sources, name: flipped}) != pack(sources)
    rest = {k: v for k, v in sources.items() if k != name}
    assert pack({**rest, name + "x": content}) != pack(sources)
    assert pack(rest) != pack(sources)


def test_the_format_is_the_same_in_every_version_of_python() -> None:
    packed = pack(
        {"pyproject.toml": b"[project]\n", "shared/__init__.py": b"", "shared/a.py": b"A = 1\n" * 99}
    )
    expected = "e715d3eec28b4949aff6c2cd50414466210c82130e37cecaf3e7f1de2cd77581"
    assert (
        hashlib.sha256(packed).hexdigest() == expected
    )  # change it with every node's version, or not at all


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The three packages somewhere else, with other times and modes, and with what must not matter."""
    folder = tmp_path / "elsewhere"
    for number, (name, data) in enumerate(sorted(installed().items(), reverse=True)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o400 if number % 2 else 0o755)
        os.utime(path, (10**9 + number, 10**9 + number))
    for name in ("server/report.html", "client/notes.txt", "shared/.hidden", "shared/__pycache__/a.pyc"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("not code")
    shutil.copytree(ROOT / "tests" / "shared", folder / "tests")
    return folder


def digest_of(folder: Path, *, cwd: Path, umask: int) -> str:
    code = "import shared.bundle as b; print(b.__file__); print(b.bundle_digest())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        umask=umask,
        env={"PYTHONPATH": str(folder), "TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    file, digest = done.stdout.split()
    assert Path(file).is_relative_to(folder)
    return digest


def test_where_when_and_with_which_rights_it_was_installed_does_not_matter(
    copied: Path, tmp_path: Path
) -> None:
    assert digest_of(copied, cwd=tmp_path, umask=0o077) == bundle_digest()
    assert digest_of(copied, cwd=copied, umask=0o002) == bundle_digest()


def test_one_character_in_one_file_does_matter(copied: Path, tmp_path: Path) -> None:
    with (copied / "client" / "gate.py").open("a") as file:
        file.write("#")
    assert digest_of(copied, cwd=tmp_path, umask=0o022) != bundle_digest()
