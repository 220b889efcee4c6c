"""coordinator.yaml and the folder it lies in."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from server.settings import FILE, TEMPLATE, Coordinator
from shared.errors import ConfigError


def folder_with(folder: Path, **values: object) -> Path:
    (folder / FILE).write_text(yaml.safe_dump({"address": "10.0.0.1", **values}))
    return folder


def test_the_template_states_every_key_with_a_comment_and_its_default() -> None:
    text = TEMPLATE.format(name="coordinator", address="10.0.0.1")
    values = yaml.safe_load(text)
    assert values.keys() == Coordinator.model_fields.keys()
    assert Coordinator.parse(values, "template") == Coordinator(address="10.0.0.1")
    for above, line in pairwise(text.splitlines()):
        if re.match(r"[a-z_]+:", line):
            assert above.startswith("# "), f"no comment above {line!r}"


def test_every_path_is_in_the_folder(tmp_path: Path) -> None:
    settings = Coordinator.read(folder_with(tmp_path))
    values = [
        getattr(settings, name) for name, kind in vars(Coordinator).items() if isinstance(kind, property)
    ]
    paths = [value for value in values if isinstance(value, Path)]
    assert len(paths) > 10
    assert all(path.is_relative_to(tmp_path) for path in paths)
    assert settings.run_folder("a-1") == tmp_path / "runs" / "a-1"


@pytest.mark.parametrize("run", ["", "..", "a/b", "/etc", "A"])
def test_a_run_never_leads_out_of_the_folder(run: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Coordinator.read(folder_with(tmp_path)).run_folder(run)


def test_a_relative_database_is_in_the_folder_and_others_stay(tmp_path: Path) -> None:
    assert Coordinator.read(folder_with(tmp_path)).database_url == f"sqlite:///{tmp_path}/coordinator.db"
    url = "postgresql+psycopg://user:secret@db/wardround"
    assert Coordinator.read(folder_with(tmp_path, database=url)).database_url == url


@pytest.mark.parametrize(
    "values",
    [{"database": "mysql://x/y"}, {"database": "file"}, {"fleet_port": 0}, {"colour": 1}, {"bind": "a b"}],
)
def test_what_cannot_be_used_is_refused(values: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        Coordinator.read(folder_with(tmp_path, **values))


def test_a_folder_without_the_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="coordinator init"):
        Coordinator.read(tmp_path)


def test_addresses_are_written_as_they_are_dialled(tmp_path: Path) -> None:
    settings = Coordinator.read(folder_with(tmp_path, address="2001:db8::1", bind="::"))
    assert (settings.fleet, settings.control) == ("[2001:db8::1]:9092", "[2001:db8::1]:9093")
    assert settings.local_control == "[::1]:9093"
    bound = Coordinator.read(folder_with(tmp_path, bind="10.9.9.9", alternative_names=["fl.example.org"]))
    assert bound.local_control == "10.9.9.9:9093"
    assert {"10.0.0.1", "localhost", "127.0.0.1", "10.9.9.9", "fl.example.org"} <= set(
        bound.certificate_names
    )


def test_one_process_at_a_time_holds_the_folder(tmp_path: Path) -> None:
    settings = Coordinator.read(folder_with(tmp_path))
    with settings.lock(), pytest.raises(ConfigError, match="up in"), settings.lock():
        pass
    with settings.lock():
        pass
