"""Exit codes that mean something, messages that name the fault, and nothing deleted that is not ours."""

from pathlib import Path

import pytest

from server.results import Results
from tests.end_to_end.conftest import TINY, Forked

SITES = ("north", "east", "south", "west")
ALL_NAN = [x for site in SITES for x in ("--set", f"faults.{site}.kind=nan")]


def test_a_run_in_which_every_site_fails_says_that_nothing_was_trained(
    prepared: Path, forked: Forked
) -> None:
    (prepared / "results.json").write_text("an earlier run's")
    ended = forked("simulate", TINY, "--out", prepared, "--quiet", *ALL_NAN)
    assert ended.code == 5
    assert "nothing was trained" in ended.stderr
    assert "north refused (not_finite)" in ended.stderr.replace("\n", " ")
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    assert not (prepared / "results.json").exists()


def test_an_unknown_key_in_a_scenario_is_named(tmp_path: Path, forked: Forked) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(TINY.read_text().replace("learning_rate", "learnig_rate"))
    ended = forked("simulate", wrong, "--out", tmp_path / "run")
    assert ended.code == 2
    assert "study.training.learnig_rate: unknown key" in ended.stderr
    assert not (tmp_path / "run").exists()


def test_set_changes_the_run_and_quiet_prints_only_the_path(prepared: Path, forked: Forked) -> None:
    ended = forked("simulate", TINY, "--out", prepared, "--quiet", "--set", "study.training.rounds=1")
    assert ended.code == 0, ended.stderr
    assert len(Results.read(prepared / "results.json").rounds) == 1
    assert ended.stdout == f"{prepared / 'report.html'}\n"
    assert ended.stderr == ""


def test_there_is_nothing_to_resume_where_nothing_was_started(tmp_path: Path, forked: Forked) -> None:
    ended = forked("simulate", TINY, "--out", tmp_path / "new", "--resume")
    assert ended.code == 2
    assert f"wardround: {tmp_path / 'new'} holds no run to resume" in ended.stderr  # on one line
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("resume", [(), ("--resume",)], ids=["fresh", "resume"])
def test_a_folder_of_somebody_else_is_left_alone(
    resume: tuple[str, ...], tmp_path: Path, forked: Forked
) -> None:
    (tmp_path / "results.json").write_text("mine")
    (tmp_path / "sites").mkdir()
    ended = forked("simulate", TINY, "--out", tmp_path, *resume)
    assert ended.code == 2
    assert "not a Wardround run" in ended.stderr.replace("\n", " ")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results.json", "sites"]
    assert (tmp_path / "results.json").read_text() == "mine"


def test_a_file_is_no_folder_for_a_run(tmp_path: Path, forked: Forked) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    ended = forked("simulate", TINY, "--out", tmp_path / "notes.txt")
    assert ended.code == 2
    assert (tmp_path / "notes.txt").read_text() == "mine"


WRONG: dict[str, list[str]] = {
    "an unknown engine": ["simulate", str(TINY), "--engine", "steam"],
    "a scenario that is not there": ["simulate", "nowhere.yaml"],
    "a model that is not there": ["evaluate", "nowhere", "nowhere"],
    "a setting without a value": ["simulate", str(TINY), "--set", "study.seed"],
    "an unknown command": ["cure"],
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_option_or_file_ends_with_two_and_no_traceback(fault: str, forked: Forked) -> None:
    ended = forked(*WRONG[fault])
    assert ended.code == 2, ended.stderr
    assert "Traceback" not in ended.stderr


def test_help_names_the_exit_codes(forked: Forked) -> None:
    ended = forked("--help")
    assert ended.code == 0
    assert "Exit codes" in ended.stdout
    for name in ("simulate", "evaluate", "data"):
        assert name in ended.stdout
