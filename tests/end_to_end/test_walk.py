"""The documented walk, typed as a new user types it: three hospitals, one coordinator, an exported model."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from server.board import RunStatus
from server.results import Results
from shared.model import TrainedModel
from shared.ports import free_port
from simulations.deployment import Service
from tests.end_to_end.deployments import TINY, until
from tests.end_to_end.inline import LIMIT_S
from tests.end_to_end.walk import COORDINATOR_COMMANDS, SITE_COMMANDS, SITES

SCRIPT = Path(sys.executable).with_name("wardround")
PROGRAM = [str(SCRIPT)] if SCRIPT.exists() else [sys.executable, "-m", "wardround"]
PREPARED = ("east", "north", "south")
PAGE = {**os.environ, "COLUMNS": "120"}


@dataclass
class Person:
    """Somebody at a terminal in a folder."""

    folder: Path
    stack: ExitStack
    typed: list[str] = field(default_factory=list)

    def types(self, command: str, **words: str) -> str:
        """Run a command to its end; returns what it printed."""
        done = subprocess.run(
            self._arguments(command, words),
            cwd=self.folder,
            env=PAGE,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def leaves_running(self, command: str) -> Service:
        """Start a command that runs until it is stopped; it is, at the end of the test."""
        output = self.folder / "printed.txt"
        service = Service(["env", "-C", str(self.folder), *self._arguments(command, {})], output)
        service.start()
        self.stack.callback(service.wait)
        self.stack.callback(service.end)
        return service

    def _arguments(self, command: str, words: Mapping[str, str]) -> list[str]:
        self.typed.append(command)
        program, *arguments = shlex.split(command)
        assert program == "wardround"
        return [*PROGRAM, *(words.get(argument, argument) for argument in arguments)]


@pytest.fixture
def terminals() -> Iterator[ExitStack]:
    """Ends, in the opposite order, whatever was left running."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def people(phantoms: Mapping[str, Path], tmp_path: Path, terminals: ExitStack) -> dict[str, Person]:
    """One person at each place; the hospitals have scans, the coordinator a study, and nothing else."""
    found = {}
    for name in ("coordinator", *SITES):
        (tmp_path / name).mkdir()
        found[name] = Person(tmp_path / name, terminals)
    for name, prepared in zip(SITES, PREPARED, strict=True):
        data = Path(yaml.safe_load((phantoms[prepared] / "site.yaml").read_text())["data"])
        shutil.copytree(data, tmp_path / name / "scans")
    study = yaml.safe_load(TINY.read_text())["study"]
    study["training"]["rounds"] = 2
    (tmp_path / "coordinator" / "study.yaml").write_text(yaml.safe_dump(study))
    return found


def corrected(file: Path, *changes: tuple[str, str]) -> None:
    """As a person corrects a commented file in an editor."""
    text = file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)


def test_from_nothing_to_an_exported_model(people: dict[str, Person]) -> None:
    coordinator, hospitals = people["coordinator"], {name: people[name] for name in SITES}
    init, invite, up, start, watch, export = COORDINATOR_COMMANDS
    site_init, check, enrol, run_node, approve = SITE_COMMANDS

    printed = coordinator.types(init)
    file = coordinator.folder / "coordinator" / "coordinator.yaml"
    assert f"{Path('coordinator') / 'coordinator.yaml'}: read it and correct it" in printed
    for port in ("fleet_port: 9092", "control_port: 9093"):  # others may use them on this machine
        corrected(file, (port, f"{port.split(':')[0]}: {free_port()}"))
    invites = dict(zip(SITES, coordinator.types(invite).split(), strict=True))
    coordinator.leaves_running(up).wait_for("up: hospitals reach")

    for name, person in hospitals.items():
        person.types(site_init.replace(SITES[0], name))
        corrected(  # tiny hospitals, and no 15 s for a report that other tests read
            person.folder / "site.yaml",
            ("minimum_patients: 10", "minimum_patients: 2"),
            ("seismometer: true", "seismometer: false"),
        )
        assert "ok" in person.types(check)
        person.types(enrol, INVITE=invites[name])
    for node in [person.leaves_running(run_node) for person in hospitals.values()]:
        node.wait_for("in touch with the coordinator")

    run = coordinator.types(start).split()[-1]
    board = coordinator.folder / "coordinator" / "runs" / run / "status.json"
    waiting = set(SITES)

    def all_were_asked() -> bool:
        sites = RunStatus.read(board).sites if board.exists() else {}
        waiting.difference_update(name for name, site in sites.items() if site.state == "approval")
        return not waiting

    until(all_were_asked, 60, "a question for approval at each site")
    for person in hospitals.values():
        assert "approved: tiny" in person.types(approve)
    watched = coordinator.types(watch, RUN=run)
    assert run in watched
    assert "finished" in watched
    assert all(name in watched for name in SITES)
    assert coordinator.types(export, RUN=run).strip() == "exported"

    exported = coordinator.folder / "exported"
    found = Results.read(exported / "results.json")
    assert sorted(found.sites) == list(SITES)
    assert {site.status for entry in found.rounds for site in entry.sites.values()} == {"used"}
    assert TrainedModel.load(exported / "model").priority is not None
    assert (exported / "report.html").stat().st_size > 10_000
    for person in hospitals.values():
        assert (person.folder / "work" / "worklist.csv").exists()

    assert tuple(coordinator.typed) == COORDINATOR_COMMANDS
    assert len(COORDINATOR_COMMANDS) <= 8
    assert len(SITE_COMMANDS) <= 8
    assert SITE_COMMANDS.index(run_node) < 4  # at most four to a running node
    for name, person in hospitals.items():
        assert person.typed == [command.replace(SITES[0], name) for command in SITE_COMMANDS]
