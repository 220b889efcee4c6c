"""Who is not a member, not who it says, not a member any more, or tells the wrong time: what becomes of it.

Three sites in one deployment. Everybody else goes on, and nobody else has to enrol again.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.signing import new_key
from simulations.deployment import PROGRAM, Deployment, Service
from tests.end_to_end.deployments import (
    Deploy,
    events,
    in_rounds,
    online,
    results,
    set_values,
    site_status,
    start_again,
    started,
    state,
    status,
    until,
    until_training,
    work,
)
from tests.end_to_end.process_tree import family, frozen, kill_all, workers

pytestmark = pytest.mark.survive

STUDY = {"priority": None, "training.rounds": 2}
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
HOUR_AHEAD = {
    "LD_PRELOAD": str(FAKETIME),
    "FAKETIME": "+1h",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
}


@pytest.fixture(scope="module")
def three(deploy: Deploy) -> Deployment:
    return deploy(3, coordinator={"enrol_wait_minutes": 0.5})


@pytest.fixture
def trial(three: Deployment) -> Iterator[Deployment]:
    until(lambda: online(three) == set(three.nodes), what=lambda: f"all online, not {online(three)}")
    yield three
    for name, node in three.nodes.items():
        node.environment = {}
        if not family(node):
            start_again(three, name)


@contextmanager
def running(service: Service) -> Iterator[Service]:
    """A process of somebody who does not belong here."""
    try:
        yield service.start()
    finally:
        kill_all(service)


def intruder(trial: Deployment, name: str, *, key_of: str | None) -> Path:
    """The site file of somebody who calls himself `name`, with a key of his own or one he has stolen."""
    folder = trial.folder / f"intruder-{name}-{key_of}"
    shutil.copytree(work(trial, "east").parent, folder, ignore=shutil.ignore_patterns("audit.*", "*.log"))
    set_values(folder / "site.yaml", name=name)
    state = folder / "work" / "node" / "enrolment.json"
    number = json.loads((work(trial, key_of or "east") / "node" / "enrolment.json").read_text())["node_id"]
    state.write_text(json.dumps({**json.loads(state.read_text()), "site": name, "node_id": number}))
    key = folder / "work" / "node" / "node.key"
    key.unlink()
    if key_of is None:
        new_key(key)
    else:
        shutil.copy(work(trial, key_of) / "node" / "node.key", key)
    return folder / "site.yaml"


def ends_well(trial: Deployment, run: str) -> None:
    assert trial.wait(run, limit_s=120).state == "finished"
    assert (trial.results(run) / "model" / "model.safetensors").exists()


def test_a_node_that_never_enrolled_is_refused_by_both_doors_and_no_run_knows_it(trial: Deployment) -> None:
    site_file = intruder(trial, "mallory", key_of=None)
    with running(Service([*PROGRAM, "site", "run", str(site_file)], trial.folder / "mallory.out")) as site:
        site.wait_for("refuses (unknown_site)")
        assert "Ask for an invite and enrol" in " ".join(site.printed().split())
    with running(Service(past_the_greeting(site_file), trial.folder / "mallory-2.out")):
        log = site_file.parent / "work" / "supernode.log"
        until(lambda: log.exists() and "Failed to activate SuperNode" in log.read_text(), what="a refusal")
        run = started(trial, STUDY)
        ends_well(trial, run)
    found = results(trial, run)
    assert set(found.sites) == {"east", "north", "south"}
    assert found.events == ()
    assert {site["name"] for site in status(trial)["sites"]} == {"east", "north", "south"}


def past_the_greeting(site_file: Path) -> list[str]:
    return [sys.executable, "-m", "tests.end_to_end.evil_site", str(site_file)]


def test_a_member_with_anothers_key_is_heard_neither_in_its_own_name_nor_in_the_others(
    trial: Deployment,
) -> None:
    nodes = trial.nodes
    for name in ("east", "north"):  # the thief is east; north is down, so that its key is free to be used
        nodes[name].end()
        nodes[name].wait()
    site_file = intruder(trial, "east", key_of="north")
    with running(Service([*PROGRAM, "site", "run", str(site_file)], trial.folder / "thief.out")) as site:
        site.wait_for("refuses (signature)")
    with running(Service(past_the_greeting(site_file), trial.folder / "thief-2.out")):
        log = site_file.parent / "work" / "supernode.log"
        until(lambda: log.exists() and "SuperNode ID" in log.read_text(), what="a connection as north")
        run = started(trial, {**STUDY, "strategy.quorum": 1})
        until(lambda: state(trial, run, "north") == "refused", what="the refusal of what came as north")
        assert site_status(trial, run, "north")["reason"] == "identity"
        ends_well(trial, run)
    found = results(trial, run)
    assert ("enrolment", None, "north", "refused", "identity") in events(found)
    assert ("enrolment", None, "east", "late", "offline") in events(found)
    assert set(found.sites) == {"south"}


def test_a_revoked_site_is_turned_away_at_once_and_may_be_invited_again(trial: Deployment) -> None:
    victim, witness, other = trial.nodes
    command = ("--dir", str(trial.coordinator_folder))
    run = started(trial, {**STUDY, "training.local_epochs": 30})
    until_training(trial, run, victim, 1)
    with frozen(workers(trial.nodes[victim])):
        trial.command("coordinator", "revoke", victim, *command)
        until(lambda: state(trial, run, victim) == "late", 30, "its being turned away")
    trial.nodes[victim].wait_for("refuses (revoked)")
    ends_well(trial, run)
    assert in_rounds(results(trial, run), victim) == ["late: offline"] * 2
    assert [in_rounds(results(trial, run), site) for site in (witness, other)] == [["used"] * 2] * 2
    assert next(s for s in status(trial)["sites"] if s["name"] == victim)["revoked"]

    invite = trial.command("coordinator", "invite", victim, *command).strip()
    site_file = work(trial, victim).parent / "site.yaml"
    trial.command("site", "enrol", str(site_file), "--invite", invite, "--replace")
    trial.nodes[victim].end()
    trial.nodes[victim].wait()
    start_again(trial, victim)
    again = started(trial, STUDY)
    ends_well(trial, again)
    assert in_rounds(results(trial, again), victim) == ["used"] * 2
    assert results(trial, again).events == ()


@pytest.mark.skipif(not FAKETIME.exists(), reason=f"{FAKETIME} is missing: apt-get install faketime")
def test_a_site_whose_clock_is_an_hour_off_says_so_shows_at_the_coordinator_and_holds_nobody_up(
    trial: Deployment,
) -> None:
    victim, *others = trial.nodes
    node = trial.nodes[victim]
    node.end()
    node.wait()
    node.output.unlink()
    node.environment = HOUR_AHEAD
    node.start().wait_for("ahead of the coordinator's")
    assert "clock is 3600 s ahead" in node.printed()
    assert "timedatectl set-ntp true" in node.printed()
    shown = next(site for site in status(trial)["sites"] if site["name"] == victim)
    assert (shown["problem"], shown["online"]) == ("clock", False)
    run = started(trial, STUDY)
    ends_well(trial, run)
    assert events(results(trial, run)) == [("enrolment", None, victim, "late", "offline")]
    assert [in_rounds(results(trial, run), site) for site in others] == [["used"] * 2] * 2

    node.end()  # the clock is set right
    node.wait()
    node.environment = {}
    start_again(trial, victim)
    shown = next(site for site in status(trial)["sites"] if site["name"] == victim)
    assert shown["problem"] == ""
