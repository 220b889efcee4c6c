"""A hospital's processes are killed, frozen or told to stop: what becomes of the run, and who says so.

Four sites in one deployment; each test leaves all of them running and connected.
"""

from collections.abc import Iterator

import psutil
import pytest

from simulations.deployment import Deployment
from tests.end_to_end.deployments import (
    Deploy,
    audit,
    board,
    connections,
    events,
    in_rounds,
    online,
    results,
    site_status,
    start_again,
    started,
    state,
    until,
    until_training,
)
from tests.end_to_end.process_tree import called, family, frozen, kill_all, workers

pytestmark = pytest.mark.survive

SLOW = {"priority": None, "training.rounds": 2, "training.local_epochs": 30}
"""Rounds long enough to be in the middle of one; no calibration, whose many exchanges are not the subject."""
DEADLINE_S = 25


@pytest.fixture(scope="module")
def four(deploy: Deploy) -> Deployment:
    return deploy(4)


@pytest.fixture
def trial(four: Deployment) -> Iterator[Deployment]:
    until(lambda: set(four.nodes) <= online(four), what=lambda: f"all sites online, not {online(four)}")
    yield four
    for name, node in four.nodes.items():
        if not family(node):
            start_again(four, name)


def test_sites_killed_before_during_and_after_training_lose_at_most_that_round_and_come_back(
    trial: Deployment,
) -> None:
    witness, before, during, after = trial.nodes
    nodes = trial.nodes
    with frozen(family(nodes[witness])):  # whose seat is awaited: no training begins
        run = started(trial, {**SLOW, "strategy.quorum": 1})
        for site in (before, during, after):
            until(lambda site=site: state(trial, run, site) == "enrolled", what=f"{site} enrolled")  # type: ignore[misc]
        kill_all(nodes[before])
    until_training(trial, run, during, 1)
    kill_all(nodes[during])
    until_training(trial, run, witness, 1)
    with frozen(workers(nodes[witness])):  # so that the round lasts
        until(lambda: state(trial, run, after) == "used", what="an answer that is used")
        kill_all(nodes[after])
        start_again(trial, before, during, after)
    assert trial.wait(run, limit_s=120).state == "finished"
    found = results(trial, run)
    assert in_rounds(found, witness) == ["used", "used"]
    assert in_rounds(found, before)[0] in {"used", "late: offline"}  # whether it is back in time is luck
    assert in_rounds(found, during)[0] == "late: offline"
    assert in_rounds(found, after)[0] == "used"
    assert [in_rounds(found, site)[1] for site in (before, during, after)] == ["used"] * 3
    assert ("training", 1, during, "late", "offline") in events(found)
    assert (trial.results(run) / "model" / "model.safetensors").exists()


def test_when_only_the_process_that_trains_is_killed_the_coordinator_hears_so_at_once(
    trial: Deployment,
) -> None:
    witness, victim, *_ = trial.nodes
    run = started(trial, SLOW)
    until_training(trial, run, witness, 1)
    with frozen(workers(trial.nodes[witness])):
        until_training(trial, run, victim, 1)
        for process in workers(trial.nodes[victim]):
            process.kill()
        until(lambda: state(trial, run, victim) == "failed", 20, "word of the crash")
        shown = site_status(trial, run, victim)
    assert (shown["state"], shown["reason"]) == ("failed", "crashed")
    assert "ended with code -9" in trial.nodes[victim].printed()
    assert trial.wait(run, limit_s=120).state == "finished"
    assert in_rounds(results(trial, run), victim) == ["failed: crashed", "used"]


def test_when_only_the_supernode_is_killed_the_site_starts_it_again_and_takes_part_again(
    trial: Deployment,
) -> None:
    witness, _, victim, _ = trial.nodes
    run = started(trial, SLOW)
    until_training(trial, run, witness, 1)
    with frozen(workers(trial.nodes[witness])):
        until_training(trial, run, victim, 1)
        before, supernode = connections(trial, victim), called(trial.nodes[victim], "client.supernode")
        assert supernode is not None
        supernode.kill()
        until(lambda: state(trial, run, victim) == "late", 40, "its answer being missed")
        until(lambda: connections(trial, victim) > before, 55, "a new SuperNode")
    assert "the SuperNode ended with code -9 and is started again" in trial.nodes[victim].printed()
    assert trial.wait(run, limit_s=120).state == "finished"
    assert in_rounds(results(trial, run), victim) == ["late: offline", "used"]


def test_an_answer_after_the_deadline_is_not_used_and_the_site_is_asked_again_in_the_next_round(
    trial: Deployment,
) -> None:
    victim, *others = trial.nodes
    run = started(trial, {**SLOW, "training.local_epochs": 2, "strategy.deadline_s": DEADLINE_S})
    until_training(trial, run, victim, 1)
    with frozen(family(trial.nodes[victim])):
        until(lambda: board(trial, run).get("round") == 2, DEADLINE_S + 30, "the next round")
    assert trial.wait(run, limit_s=120).state == "finished"
    found = results(trial, run)
    assert in_rounds(found, victim) == ["late: deadline", "used"]
    assert ("training", 1, victim, "late", "deadline") in events(found)
    assert {tuple(in_rounds(found, site)) for site in others} == {("used", "used")}


def test_a_site_told_to_stop_finishes_and_delivers_the_answer_at_hand(trial: Deployment) -> None:
    *_, victim = trial.nodes
    run = started(trial, SLOW)
    until_training(trial, run, victim, 1)
    trial.nodes[victim].end()
    assert trial.nodes[victim].wait(limit_s=60) == 0
    assert audit(trial, victim)[-2]["event"] == "stopped"  # the last is the farewell to the coordinator
    assert "finishing the answer at hand" in trial.nodes[victim].printed()
    assert trial.wait(run, limit_s=120).state == "finished"
    assert in_rounds(results(trial, run), victim) == ["used", "late: offline"]


def test_a_site_listens_on_loopback_only_and_connects_to_the_coordinator_only(trial: Deployment) -> None:
    settings = trial.settings
    for node in trial.nodes.values():
        inet = [c for process in family(node) for c in process.net_connections(kind="inet")]
        listening = [c.laddr for c in inet if c.status == psutil.CONN_LISTEN]
        assert listening
        assert {address.ip for address in listening} == {"127.0.0.1"}
        own = {address.port for address in listening}
        reached = {c.raddr.port for c in inet if c.raddr and c.laddr.port not in own} - own
        assert reached <= {settings.fleet_port, settings.control_port}
