"""`wardround site run`: what it says before it can begin, and what it leaves when it ends."""

import signal
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

import client.greeting
from client.cli import app
from client.control_answers import Greeting
from client.site import Site
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


LONG_S = 20.0


class Coordinator:
    """Stands in for the control service: gives these answers in turn, then that all is well."""

    def __init__(self, *problems: str | Exception) -> None:
        self.left = list(problems)
        self.greeted = 0

    def __call__(self, _enrolment: object) -> "Coordinator":
        return self

    def __enter__(self) -> "Coordinator":
        return self

    def __exit__(self, *_: object) -> None: ...

    def greet(self, _released: object) -> Greeting:
        self.greeted += 1
        answer = self.left.pop(0) if self.left else ""
        if isinstance(answer, Exception):
            raise answer
        return Greeting(-3600.0, "9.9", "bundle", answer)


class Membership:
    control = "coordinator:9093"


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def supervisor(site_file: Path, told: list[str]) -> Supervisor:
    return Supervisor(site_file, Site.read(site_file), cast("Any", Membership()), told.append)


@pytest.fixture
def greeted_by(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Coordinator]:
    def make(*problems: str | Exception) -> Coordinator:
        made = Coordinator(*problems)
        monkeypatch.setattr(client.greeting, "Control", made)
        return made

    return make


def woken(supervisor: Supervisor) -> bool:
    """Whether the loop would look again at once; it hears the bell."""
    rung = bool(wait([supervisor._bell._heard], timeout=0))
    supervisor._wait(0.0)
    return rung


def test_what_the_supernode_prints_wakes_the_loop_and_ends_what_is_owed(
    supervisor: Supervisor, told: list[str]
) -> None:
    assert not woken(supervisor)
    for line, owes in (("Received successfully", True), ("Sent successfully", False), ("nonsense", True)):
        supervisor._answering.owes = True
        supervisor._heard(line)
        assert woken(supervisor) == (line != "nonsense")
        assert supervisor._answering.owes == owes
    assert told == []
    supervisor._heard("Run ID 7 is not in `RUNNING` status. Ignoring message 12.")
    assert supervisor._dropped


def test_an_answer_that_the_coordinator_did_not_take_is_told_to_the_hospital(
    supervisor: Supervisor, told: list[str]
) -> None:
    supervisor._answering.owes = True
    supervisor._heard("Failed to send message 12: Client error '413 Payload Too Large'")
    assert not supervisor._answering.owes
    (line,) = told
    assert "not taken by the coordinator" in line
    assert "max_message_mb" in line


def test_the_first_signal_wakes_the_loop_and_the_second_ends_the_node(supervisor: Supervisor) -> None:
    supervisor._stop(signal.SIGTERM, None)
    assert supervisor._stopping
    assert woken(supervisor)
    with pytest.raises(SystemExit):
        supervisor._stop(signal.SIGTERM, None)


def test_a_coordinator_out_of_reach_or_another_clock_is_greeted_again_until_all_is_well(
    supervisor: Supervisor,
    told: list[str],
    greeted_by: Callable[..., Coordinator],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    coordinator = greeted_by(FederationError("the coordinator does not answer"), "clock")
    monkeypatch.setattr(supervisor._bell, "wait", lambda _pause_s: None)
    supervisor._introduce()
    assert coordinator.greeted == 3
    assert told[0] == "the coordinator does not answer"
    assert "3600 s ahead" in told[1]
    assert told[2:] == ["in touch with the coordinator at coordinator:9093"]
    assert not supervisor._greeter.due


def test_a_node_that_is_told_to_stop_greets_once_more_and_does_not_wait(
    supervisor: Supervisor, greeted_by: Callable[..., Coordinator]
) -> None:
    coordinator = greeted_by(*[FederationError("away")] * 9)
    assert supervisor._greeter.due
    start = time.monotonic()
    supervisor._introduce(once=True)
    supervisor._stop(signal.SIGTERM, None)
    supervisor._introduce()
    assert coordinator.greeted == 2
    assert time.monotonic() - start < LONG_S / 4


@pytest.mark.parametrize(("problem", "said"), [("version", "the coordinator 9.9"), ("audit", "audit verify")])
def test_another_version_and_another_audit_log_are_told_and_the_node_goes_on(
    problem: str, said: str, supervisor: Supervisor, told: list[str], greeted_by: Callable[..., Coordinator]
) -> None:
    coordinator = greeted_by(problem)
    supervisor._introduce()
    assert coordinator.greeted == 1
    assert said in told[0]
    assert told[1].startswith("in touch")
