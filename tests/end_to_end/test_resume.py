"""kill -9 at any moment, then --resume: the run ends as one that was never killed."""

import json
import signal
from pathlib import Path

import pytest

from shared.model import TrainedModel, digest
from tests.end_to_end.conftest import TINY, Ended, FinishedRun, Forked
from tests.end_to_end.killed_run import PHASES

FEDADAM = ("--set", "study.strategy.name=fedadam", "--set", "study.strategy.server_learning_rate=0.02")
PRIVACY = (
    "--set",
    "study.privacy={unit: patient, epsilon: 8, delta: 1.0e-3, clip: 1.0}",
    "--set",  # two sites, because accounting takes longer than training
    (
        "sites.hospitals={north: {patients: 40}, east: {patients: 36, shift: "
        "{intensity_scale: 90, spacing_mm: [1.3, 1.3, 2.0], orientation: LPS}}}"
    ),
)


def weights(out: Path) -> str:
    return digest(TrainedModel.load(out / "model").weights)


def killed_and_resumed(forked: Forked, out: Path, phase: str, *settings: str) -> FinishedRun:
    arguments = ("simulate", TINY, "--out", out, "--quiet", *settings)
    killed = forked(*arguments, phase=phase)
    assert killed.code == -signal.SIGKILL, killed.stderr
    resumed: Ended = forked(*arguments, "--resume")
    assert resumed.code == 0, resumed.stderr
    return FinishedRun(out, resumed)


@pytest.mark.parametrize("phase", PHASES)
def test_a_run_killed(phase: str, finished: FinishedRun, prepared: Path, forked: Forked) -> None:
    run = killed_and_resumed(forked, prepared, phase)
    found, expected = run.results, finished.results
    assert found.events == ()  # first, because a site that was not used explains every other difference
    assert [entry.round for entry in found.rounds] == [1, 2, 3]
    assert [entry.validation for entry in found.rounds] == [entry.validation for entry in expected.rounds]
    assert found.evaluation == expected.evaluation
    assert found.calibration == expected.calibration
    assert weights(run.out) == weights(finished.out)
    assert (run.out / "report.html").exists()


def test_fedadams_moments_survive_a_kill(
    finished: FinishedRun, prepared: Path, forked: Forked, tmp_path: Path
) -> None:
    never = tmp_path / "never"
    never.mkdir()
    (never / "scenario.yaml").touch()
    (never / "data").symlink_to(finished.out / "data")
    assert forked("simulate", TINY, "--out", never, "--quiet", *FEDADAM).code == 0
    assert weights(never) != weights(finished.out)
    run = killed_and_resumed(forked, prepared, "after the checkpoint", *FEDADAM)
    assert weights(run.out) == weights(never)


@pytest.mark.slow
def test_a_private_run_keeps_its_promise_and_a_repeated_round_costs_nothing_twice(
    prepared: Path, forked: Forked
) -> None:
    run = killed_and_resumed(forked, prepared, "after one site's reply was added", *PRIVACY)
    results = run.results
    assert [entry.round for entry in results.rounds] == [1, 2, 3]
    assert sorted(results.sites) == ["east", "north"]
    for name, entry in results.sites.items():
        assert (entry.epsilon, entry.delta) == (8, 1e-3)
        assert entry.epsilon_spent is not None
        assert 4 < entry.epsilon_spent <= 8
        ledger = (run.out / "sites" / name / "ledger.jsonl").read_text().splitlines()
        assert [json.loads(line)["round"] for line in ledger] == [1, 2, 3]


def test_another_study_cannot_resume_and_the_first_one_still_can(
    finished: FinishedRun, prepared: Path, forked: Forked
) -> None:
    arguments = ("simulate", TINY, "--out", prepared, "--quiet")
    forked(*arguments, phase="while a site validates the round before")
    marker = (prepared / "scenario.yaml").read_bytes()
    other = forked(*arguments, "--resume", "--set", "study.training.learning_rate=0.1")
    assert other.code == 5
    assert "belongs to study" in other.stderr
    assert (prepared / "scenario.yaml").read_bytes() == marker
    assert forked(*arguments, "--resume").code == 0
    assert weights(prepared) == weights(finished.out)
