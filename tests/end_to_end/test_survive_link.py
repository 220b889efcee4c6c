"""The network between a hospital and its coordinator fails for a while; bytes stop, and nobody is told."""

import json
import re
import time
from collections.abc import Iterator

import pytest

from simulations.deployment import Deployment
from tests.end_to_end.deployments import (
    Deploy,
    audited,
    in_rounds,
    online,
    results,
    started,
    state,
    until,
    until_training,
    work,
)
from tests.end_to_end.relay import Relay

pytestmark = pytest.mark.survive

FAR = "east"
STUDY = {"priority": None, "training.rounds": 2, "training.local_epochs": 30, "strategy.deadline_s": 200}


@pytest.fixture(scope="module")
def link(deploy: Deploy) -> Iterator[tuple[Deployment, list[Relay]]]:
    """Three sites, one of which reaches both of the coordinator's ports through relays."""
    trial = deploy(3, start=False)
    trial.up()
    trial.enrol({name: work(trial, name).parent / "site.yaml" for name in trial.nodes})
    file = work(trial, FAR) / "node" / "enrolment.json"
    values = json.loads(file.read_text())
    with Relay(values["fleet"]) as fleet, Relay(values["control"]) as control:
        file.write_text(json.dumps({**values, "fleet": fleet.address, "control": control.address}))
        for node in trial.nodes.values():
            node.start()
        for node in trial.nodes.values():
            node.wait_for("in touch")
        until(lambda: online(trial) == set(trial.nodes), what="all sites online")
        yield trial, [fleet, control]
        trial.nodes[FAR].end()
        trial.nodes[FAR].wait()


@pytest.mark.parametrize(
    ("lost_s", "first"),
    [
        pytest.param(20, {"used"}, id="20 s"),
        # Flower gives a node up after a minute without a heartbeat, of which it sends two in that time.
        pytest.param(60, {"used", "late: offline"}, id="60 s", marks=pytest.mark.slow),
    ],
)
def test_a_hospital_whose_link_is_lost_comes_back_by_itself_and_the_run_goes_on(
    link: tuple[Deployment, list[Relay]], lost_s: float, first: set[str]
) -> None:
    trial, (fleet, control) = link
    run = started(trial, STUDY)
    until_training(trial, run, FAR, 1)
    with fleet.cut(), control.cut():
        time.sleep(lost_s)  # is what happens, not a wait for something
        assert state(trial, run, FAR) in {"awaited", "late"}
    assert trial.wait(run, limit_s=240).state == "finished"
    found = results(trial, run)
    assert in_rounds(found, FAR)[0] in first
    assert {tuple(in_rounds(found, site)) for site in trial.nodes if site != FAR} == {("used", "used")}
    assert (trial.results(run) / "model" / "model.safetensors").exists()
    until(lambda: FAR in online(trial), what="its being connected again")
    again = started(trial, STUDY)
    assert trial.wait(again, limit_s=120).state == "finished"
    assert in_rounds(results(trial, again), FAR) == ["used", "used"]


def test_a_hospital_that_cannot_reach_the_coordinator_at_its_start_says_so_and_joins_once_it_can(
    link: tuple[Deployment, list[Relay]],
) -> None:
    trial, (fleet, control) = link
    node = trial.nodes[FAR]
    node.end()
    assert node.wait() == 0
    node.output.unlink()
    with fleet.cut(), control.cut():
        node.start()
        until(lambda: re.search("(could|does) not answer", node.printed()), 60, "a word about it")
        assert node.process is not None
        assert node.process.poll() is None
    node.wait_for("in touch")
    run = started(trial, {**STUDY, "training.rounds": 1})
    assert trial.wait(run, limit_s=120).state == "finished"
    assert in_rounds(results(trial, run), FAR) == ["used"]
    assert audited(trial, FAR, "released", kind="update")
