"""Answers given again and again: few lines, and the counts add up."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.audit import Audit
from client.gate import Gate
from client.policy import Policy
from client.repeats import EVERY_S, Repeats
from shared.errors import PolicyError
from shared.wire import Record
from tests.client.hospital import message as instruction
from tests.client.hospital import send, site_at, tiny_study

STUDY = tiny_study()
FACTS: dict[str, Any] = {"kind": "failure", "bytes": 70, "code": "policy.approval", "study": "s", "run": "r"}
OTHER = {**FACTS, "run": "another"}


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[Audit]:
    audit = Audit(tmp_path / "audit.jsonl")
    yield audit
    audit.verify()


def times(audit: Audit) -> list[int]:
    return [entry.get("times", 1) for entry in audit.entries("released")]


def test_the_first_answer_is_a_line_and_the_others_one_more_every_ten_minutes(
    audit: Audit, clock: Clock
) -> None:
    for _ in range(721):  # an hour, every five seconds, each answer in a process of its own
        Repeats(audit, clock).append(**FACTS)
        clock.now += 5
    assert times(audit) == [1, 120, 120, 120, 120, 120, 120]
    assert Repeats(audit).outstanding() == 0
    assert all(FACTS.items() <= entry.items() for entry in audit.entries("released"))


def test_two_studies_that_wait_at_once_do_not_write_each_others_lines(audit: Audit, clock: Clock) -> None:
    for _ in range(50):
        for facts in (FACTS, OTHER):
            Repeats(audit, clock).append(**facts)
            clock.now += 5
    assert times(audit) == [1, 1]
    assert Repeats(audit).outstanding() == 98
    Repeats(audit).settle()
    assert times(audit) == [1, 1, 49, 49]
    assert Repeats(audit).outstanding() == 0


def test_what_is_counted_is_written_before_anything_else_is_released(audit: Audit, clock: Clock) -> None:
    gate = Gate(Policy(), audit)
    failure = Record("failure", {"site": "north", "code": "policy.approval", "cases": 0})
    for _ in range(3):
        gate.release(failure, repeated={"study": "s", "run": "r"})
    gate.release(Record("finished", {"site": "north", "patients": 1, "seismometer": "off"}))
    assert [(e["kind"], e.get("times")) for e in audit.entries()] == [
        ("failure", None),
        ("failure", 2),
        ("finished", None),
    ]
    gate.release(Record("failure", {"site": "north", "code": "data", "cases": 0}))
    gate.release(Record("failure", {"site": "north", "code": "data", "cases": 0}))
    assert [e["code"] for e in list(audit.entries("released"))[3:]] == ["data", "data"]


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["one", "other", "settle"]), st.integers(-900, 900)), max_size=25
    )
)
def test_the_counts_add_up_whatever_happens_and_however_the_clock_jumps(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    audit, clock = Audit(tmp_path_factory.mktemp("repeats") / "audit.jsonl"), Clock()
    left = 0
    for step, jump_s in steps:
        clock.now += jump_s
        repeats = Repeats(audit, clock)
        if step == "settle":
            repeats.settle()
        else:
            repeats.append(**(FACTS if step == "one" else OTHER))
            left += 1
        assert sum(times(audit)) + repeats.outstanding() == left
    audit.verify()


def test_a_repeat_whose_line_was_cut_by_a_power_failure_was_never_sent(audit: Audit, tmp_path: Path) -> None:
    for _ in range(3):
        Repeats(audit).append(**FACTS)
    path = tmp_path / "repeats.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    longer = json.dumps({"time": 1.0, "facts": "x" * 500}).encode()
    path.write_bytes(path.read_bytes() + longer)
    assert Repeats(audit).outstanding() == 2
    path.write_bytes(path.read_bytes() + longer)
    Repeats(audit).append(**FACTS)
    assert Repeats(audit).outstanding() == 3


def test_nothing_is_released_while_the_count_is_damaged(audit: Audit, tmp_path: Path) -> None:
    (tmp_path / "repeats.jsonl").write_text("x\n")
    with pytest.raises(PolicyError, match=r"repeats\.jsonl line 1 is damaged"):
        Repeats(audit).append(**FACTS)
    with pytest.raises(PolicyError, match=r"repeats\.jsonl line 1 is damaged"):
        Repeats(audit).settle()
    assert times(audit) == []


def test_a_real_node_that_waits_for_its_people_writes_two_lines_and_counts_the_rest(
    phantoms: Path, tmp_path: Path
) -> None:
    site = site_at(phantoms, tmp_path / "work", policy={"studies": "ask", "minimum_patients": 2})
    asked = instruction(("enrol", {"run": "run-1", "study": STUDY.model_dump_json()}, {}))
    for _ in range(4):
        send(site, asked)
    audit = Audit(site.work / "audit.jsonl")
    lines = [(e["event"], e["kind"], e["code"], e["study"]) for e in audit.entries()]
    digest = STUDY.digest()
    assert lines == [
        ("refused", "enrol", "policy.approval", digest),
        ("released", "failure", "policy.approval", digest),
    ]
    assert [e["run"] for e in audit.entries("released")] == ["run-1"]
    assert Repeats(audit).outstanding() == 3
    assert (site.work / "site.log").read_text().count("this site could not answer") == 1
    assert [json.loads(e)["time"] for e in (site.work / "repeats.jsonl").read_text().splitlines()]
    assert EVERY_S == 600
