"""The coordinator is killed with -9 at every moment of a run, and comes back to the same weights."""

import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from simulations.deployment import Deployment
from tests.end_to_end.deployments import (
    Deploy,
    board,
    events,
    in_rounds,
    results,
    started,
    study_file,
    until,
    until_round,
)
from tests.end_to_end.held_run import FOLDER, MOMENTS, reached
from tests.end_to_end.inline import LIMIT_S, figures, inline, weights
from tests.end_to_end.process_tree import called, family

pytestmark = pytest.mark.survive

SITES = ("east", "north")
ROUNDS = 2
SHOWN = {
    "one site is enrolled": ("enrolment", 0),
    "between two rounds": ("training", 1),
    "waiting for a round's answers": ("training", 2),
    "one answer is added": ("training", 2),
    "aggregated and not yet saved": ("training", 2),
    "writing the checkpoint": ("training", 2),
    "final evaluation": ("evaluation", 2),
    "calibration": ("calibration", 2),
    "the sites have finished": ("finish", 2),
    "done and not yet told": ("done", 2),
}
"""Phase and round on the board at each moment: a run that went back a round would show another."""
CLOSE_TO_ANOTHER = ("one answer is added", "aggregated and not yet saved", "done and not yet told")


@pytest.fixture(scope="module")
def deployment(deploy: Deploy) -> Deployment:
    """Two sites, and a coordinator whose runs can be held."""
    made = deploy(SITES, start=False)
    up = made.coordinator
    up.arguments = [sys.executable, "-m", "tests.end_to_end.held_coordinator", *up.arguments[3:]]
    hold = made.folder / "hold"
    hold.mkdir()
    up.environment = {FOLDER: str(hold)}
    return made.__enter__()


@pytest.fixture(scope="module")
def undisturbed(
    deployment: Deployment, phantoms: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same study on the same sites without any disturbance, by the inline engine."""
    study = study_file(deployment, {"training.rounds": ROUNDS})
    return inline(study, {s: phantoms[s] for s in SITES}, tmp_path_factory.mktemp("undisturbed"))


def arm(deployment: Deployment, moment: str) -> Path:
    armed = deployment.folder / "hold" / moment
    reached(armed).unlink(missing_ok=True)
    armed.touch()
    return armed


def power_cut(deployment: Deployment) -> None:
    """Kill `up` alone; all that it started must end by itself."""
    _, *below = family(deployment.coordinator)
    deployment.coordinator.kill()
    _, left = psutil.wait_procs(below, timeout=20)
    assert not left, [p.cmdline() for p in left]


def ends_as_undisturbed(deployment: Deployment, run: str, undisturbed: Path) -> None:
    row = deployment.wait(run, limit_s=LIMIT_S)
    assert row.state == "finished", row.reason
    found = results(deployment, run)
    assert events(found) == []  # first: a site that was not used explains every other difference
    assert [entry.round for entry in found.rounds] == list(range(1, ROUNDS + 1))
    assert {status for site in SITES for status in in_rounds(found, site)} == {"used"}
    assert weights(deployment.results(run)) == weights(undisturbed)
    assert figures(found) == figures(type(found).read(undisturbed / "results.json"))
    assert (deployment.results(run) / "report.html").exists()


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param([moment for moment in MOMENTS if moment not in CLOSE_TO_ANOTHER], id="phases"),
        pytest.param(list(MOMENTS), id="moments", marks=pytest.mark.slow),
    ],
)
def test_killed_in_every_phase_of_one_run(
    moments: list[str], deployment: Deployment, undisturbed: Path
) -> None:
    assert list(SHOWN) == list(MOMENTS)
    armed = arm(deployment, moments[0])
    run = started(deployment, {"training.rounds": ROUNDS})
    for place, moment in enumerate(moments, start=1):
        until(reached(armed).exists, 60, f"{moment}: the board says {board(deployment, run)}")
        now = board(deployment, run)
        assert (now["phase"], now["round"]) == SHOWN[moment], moment
        power_cut(deployment)
        assert deployment.run(run).state == "running", moment  # what `up` goes on from
        if place < len(moments):
            armed = arm(deployment, moments[place])
        deployment.up()
        assert f"{run}: goes on from its newest checkpoint" in deployment.coordinator.printed()
    ends_as_undisturbed(deployment, run, undisturbed)


def test_the_superlink_alone_is_killed_and_the_run_goes_on(deployment: Deployment, undisturbed: Path) -> None:
    run = started(deployment, {"training.rounds": ROUNDS})
    until_round(deployment, run, 1)
    killed = called(deployment.coordinator, "server.superlink")
    assert killed is not None
    killed.kill()
    ends_as_undisturbed(deployment, run, undisturbed)
    assert "flower-superlink ended with code -9 and is started again" in deployment.coordinator.printed()
    again = called(deployment.coordinator, "server.superlink")
    assert again is not None
    assert again.pid != killed.pid


def test_the_serverapp_alone_is_killed_and_the_run_is_failed_and_can_be_resumed(
    deployment: Deployment, undisturbed: Path
) -> None:
    armed = arm(deployment, "one answer is added")
    run = started(deployment, {"training.rounds": ROUNDS})
    until(reached(armed).exists, 60, "the first answer")
    serverapp(deployment).kill()
    row = deployment.wait(run, limit_s=20)
    assert row.state == "failed"
    assert row.reason is not None
    assert "its process ended with code -9" in row.reason
    shown = deployment.command("coordinator", "status", run, "--dir", str(deployment.coordinator_folder))
    assert "failed" in shown
    printed = deployment.command(
        "coordinator", "start", "--resume", run, "--dir", str(deployment.coordinator_folder)
    )
    assert printed.split()[-1] == run
    ends_as_undisturbed(deployment, run, undisturbed)


def serverapp(deployment: Deployment) -> psutil.Process:
    """The fork that runs the ServerApp: its log is open in it."""
    for process in family(deployment.coordinator):
        if any(file.path.endswith("run.log") for file in process.open_files()):
            return process
    raise AssertionError("no process has a run's log open")
