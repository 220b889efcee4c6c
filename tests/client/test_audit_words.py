"""`wardround site audit show` says every line in words."""

from pathlib import Path
from typing import Any, get_args

import pytest

from client.approvals import Approvals
from client.audit import Audit, Event
from client.audit_words import SENTENCES, words
from client.node import Node
from shared.errors import PolicyError
from shared.wire import Record
from tests.client.hospital import RUN, Fields, enrol, site_at, tiny_study

STUDY = tiny_study()
SHORT = f"{STUDY.digest()[:12]}..."


def test_there_is_a_sentence_for_every_event() -> None:
    assert set(SENTENCES) == set(get_args(Event))


def test_joining_a_run_is_one_line_with_its_study(phantoms: Path, tmp_path: Path) -> None:
    node = Node(site_at(phantoms, tmp_path / "work"))
    for _ in range(2):  # asked again, as after an interruption
        enrol(node, STUDY)
    node.enrol(Record("enrol", {"run": "run-2", "study": STUDY.model_dump_json()}))
    facts = [(e["run"], e["name"], e["study"]) for e in node.audit.entries("enrolled")]
    assert facts == [(run, "tiny", STUDY.digest()) for run in (RUN, "run-2")]
    said = [words(entry) for entry in node.audit.entries("enrolled")]
    assert said[0] == f"this site agreed to take part in run run-1 of study tiny ({SHORT})"


def test_what_a_real_node_writes_is_said_in_words(node: Node, tmp_path: Path) -> None:
    approvals = Approvals(tmp_path, node.audit)
    approvals.approve(STUDY)
    approvals.withdraw(STUDY.digest())
    train: Fields = {"run": RUN, "study_digest": STUDY.digest(), "round": 3}
    with node.rules.training(STUDY, run=RUN, round_number=3, inputs="x"):
        pass
    node.gate.release(Record("failure", {"site": "north", "code": "data", "cases": 0}))
    with pytest.raises(PolicyError):
        node.gate.release(Record("train", train))
    _, allowed, withdrawn, trained, failed, refused = [words(entry) for entry in node.audit.entries()]
    assert allowed.endswith(f" allowed study tiny ({SHORT})")
    assert withdrawn.endswith(f" took the approval of study tiny ({SHORT}) back")
    assert trained == "round 3 of run run-1 was counted against the budget"
    assert failed == "failure: data, 45 bytes"
    assert refused == "train was refused: policy.kind"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"event": "refused", "kind": "enrol", "code": "policy.approval", "study": "d" * 64},
         "enrol was refused for study dddddddddddd...: policy.approval"),
        ({"event": "released", "kind": "failure", "code": "policy.approval", "bytes": 70, "patients": 0,
          "round": 0, "study": "d" * 64, "run": "r", "times": 120},
         "failure: policy.approval, 70 bytes, study dddddddddddd..., run r, 120 times since its line before"),
        ({"event": "enrolled", "run": "r", "study": "d" * 64}, "run=r study=dddddddddddd..."),
        ({"event": "new", "fact": 1}, "fact=1"),
    ],
)  # fmt: skip
def test_what_was_repeated_or_written_by_another_version_is_said_too(
    entry: dict[str, Any], said: str
) -> None:
    assert words({"time": "t", "previous": "p", **entry}) == said


def test_a_fact_that_is_there_once_is_not_written_again(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit.jsonl")
    for run in ("a", "a", "b"):
        audit.append_once("enrolled", run=run)
    assert [entry["run"] for entry in audit.entries()] == ["a", "b"]
    assert audit.verify() == 2
