"""status.json says at every moment where a run stands, and never half of it."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from server.board import Board, RunStatus
from server.rounds import Outcome
from shared.errors import ConfigError, QuorumError
from shared.wire import Record
from tests.server.fake_sites import Act, FakeSite, failing, hospitals, run, silent, update, usual

USED = Outcome("used", patients=30, seconds=1.5)
LATE = Outcome("late", "deadline", seconds=9.0)


def board_at(folder: Path) -> Board:
    board = Board(folder / "status.json")
    board.begin(rounds=3)
    return board


def read(folder: Path) -> RunStatus:
    return RunStatus.read(folder / "status.json")


def test_every_change_is_in_the_file_at_once_and_reads_back_equal(tmp_path: Path) -> None:
    board = board_at(tmp_path)
    assert (read(tmp_path).phase, read(tmp_path).rounds) == ("enrolment", 3)
    board.tell("north", "enrolled", patients=40)
    assert read(tmp_path).sites["north"].patients == 40
    board.enter("training", 2)
    board.ask(["north", "east"])
    assert (read(tmp_path).phase, read(tmp_path).round) == ("training", 2)
    assert read(tmp_path).awaited == ["east", "north"]
    board.answer("north", [USED], bytes_up=7, bytes_down=9)
    assert read(tmp_path).awaited == ["east"]
    assert read(tmp_path) == board.status
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_bytes_add_up_over_the_run_and_everything_else_is_of_the_last_answer(tmp_path: Path) -> None:
    board = board_at(tmp_path)
    for outcome in (USED, LATE):
        board.answer("north", [outcome], bytes_up=7, bytes_down=9)
    north = read(tmp_path).sites["north"]
    assert (north.bytes_up, north.bytes_down) == (14, 18)
    assert (north.state, north.reason, north.seconds, north.patients) == ("late", "deadline", 9.0, 30)


def test_of_several_answers_the_first_that_was_not_used_is_shown(tmp_path: Path) -> None:
    board = board_at(tmp_path)
    board.answer("north", [Outcome("refused", "policy.kind"), USED], bytes_up=1, bytes_down=1)
    north = read(tmp_path).sites["north"]
    assert (north.state, north.reason, north.patients) == ("refused", "policy.kind", 30)


def test_times_are_utc(tmp_path: Path) -> None:
    board_at(tmp_path)
    for text in (read(tmp_path).started, read(tmp_path).updated):
        offset = datetime.fromisoformat(text).utcoffset()
        assert offset is not None
        assert offset.total_seconds() == 0


def test_the_error_that_ended_the_run_stands_there_with_code_and_message(tmp_path: Path) -> None:
    board = board_at(tmp_path)
    board.fail(QuorumError("too few"))
    found = read(tmp_path)
    assert (found.phase, found.error, found.message) == ("failed", "federation.quorum", "too few")
    board.fail(ZeroDivisionError("by zero"))
    found = read(tmp_path)
    assert (found.error, found.message) == ("internal", "ZeroDivisionError: by zero")


def test_a_resumed_run_counts_on_and_forgets_the_error(tmp_path: Path) -> None:
    first = board_at(tmp_path)
    first.answer("north", [LATE], bytes_up=7, bytes_down=9)
    first.fail(QuorumError("too few"))
    again = Board(tmp_path / "status.json")
    again.begin(rounds=3, done=1, resume=True)
    found = read(tmp_path)
    assert (found.started, found.phase, found.round) == (first.status.started, "enrolment", 1)
    assert (found.error, found.message) == (None, None)
    assert (found.sites["north"].state, found.sites["north"].bytes_up) == ("awaited", 7)


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"phase": "lunch"}'])
def test_what_is_no_status_is_refused_and_ends_no_run(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=r"status\.json"):
        RunStatus.read(path)
    Board(path).begin(rounds=2, resume=True)
    assert RunStatus.read(path).rounds == 2


def test_a_run_shows_its_phases_and_who_is_awaited_while_it_asks(tmp_path: Path) -> None:
    seen: list[tuple[Any, ...]] = []

    def watching(site: FakeSite, record: Record) -> Any:
        found = read(tmp_path)
        seen.append((record.kind, found.phase, found.round, tuple(found.awaited)))
        return usual(site, record)

    calibrating = ("newton", "newton_map", "histograms", "held_out", "reliability")
    kinds = ("enrol", "train", "evaluate", "voxels", *calibrating, "finish")
    sites = hospitals("north", "east", east=dict.fromkeys(kinds, watching))
    results = run(sites, tmp_path)
    shown = list(dict.fromkeys(entry[:3] for entry in seen))
    assert shown == [
        ("enrol", "enrolment", 0),
        ("train", "training", 1),
        ("evaluate", "training", 2),
        ("train", "training", 2),
        ("evaluate", "evaluation", 2),
        ("voxels", "evaluation", 2),
        *((kind, "calibration", 2) for kind in calibrating),
        ("finish", "finish", 2),
    ]
    assert all(awaited == ("east", "north") for kind, *_, awaited in seen if kind != "enrol")
    found = read(tmp_path)
    assert (found.phase, found.round, found.rounds, found.error) == ("done", 2, 2, None)
    assert {name: site.state for name, site in found.sites.items()} == {"east": "used", "north": "used"}
    per_round = [entry.sites["north"] for entry in results.rounds]
    assert found.sites["north"].bytes_up > sum(entry.bytes_up for entry in per_round)


def test_weights_that_two_instructions_share_are_counted_once(tmp_path: Path) -> None:
    down: dict[str, int] = {}

    def noted(site: FakeSite, record: Record) -> Any:
        shown = read(tmp_path).sites["north"].bytes_down
        down.setdefault(f"{record.kind} {record.fields['round']}", shown)
        return usual(site, record)

    run(hospitals("north", "east", north={"train": noted, "evaluate": noted}), tmp_path)
    first = down["train 2"] - down["train 1"]
    second = down["evaluate 2"] - down["train 2"]
    assert first < second < 1.5 * first  # one more instruction, no more weights


@pytest.mark.parametrize(
    ("kind", "act", "state", "reason"),
    [
        ("train", failing("data"), "failed", "data"),
        ("train", silent, "late", "deadline"),
        ("train", lambda s, r: update(s, r, run="other"), "refused", "run"),
        ("train", failing("policy.hours"), "refused", "policy.hours"),
    ],
)
def test_the_site_that_broke_a_run_is_named_with_its_reason(
    kind: str, act: Act, state: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(QuorumError):
        run(hospitals("north", "east", east={kind: act}), tmp_path)
    found = read(tmp_path)
    assert (found.phase, found.error) == ("failed", "federation.quorum")
    assert found.message is not None
    assert f"east {state} ({reason})" in found.message
    assert (found.sites["east"].state, found.sites["east"].reason) == (state, reason)
    assert found.sites["north"].state == "used"


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    board_at(tmp_path)
    assert json.loads((tmp_path / "status.json").read_text())["phase"] == "enrolment"
