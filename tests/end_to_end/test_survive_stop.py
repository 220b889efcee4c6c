"""A run is stopped while its sites compute, and goes on at once: they answer what is asked now."""

import pytest

from tests.end_to_end.deployments import Deploy, board, in_rounds, results, started, until
from tests.end_to_end.process_tree import workers

pytestmark = pytest.mark.survive

ROUNDS = 10
"""More than pass while the test looks the other way."""
SLOW = {"priority": None, "training.rounds": ROUNDS, "training.local_epochs": 30}


def test_a_run_that_is_stopped_while_sites_train_goes_on_with_all_of_them_when_it_is_resumed(
    deploy: Deploy,
) -> None:
    trial = deploy(3)
    folder = ("--dir", str(trial.coordinator_folder))
    run = started(trial, SLOW)
    for _ in range(3):  # whether an answer is under way at that moment is a matter of luck
        until(lambda: all(workers(node) for node in trial.nodes.values()), 60, "all sites compute")
        trial.command("coordinator", "stop", run, *folder)
        until(lambda: trial.run(run).state == "stopped", 30, "the run is stopped")
        trial.command("coordinator", "start", "--resume", run, *folder)
        until(
            lambda: board(trial, run).get("phase") == "training", 45, lambda: f"training: {board(trial, run)}"
        )
    assert trial.wait(run, limit_s=120).state == "finished"
    found = results(trial, run)
    assert {tuple(in_rounds(found, site)) for site in trial.nodes} == {("used",) * ROUNDS}
