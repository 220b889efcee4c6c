"""Decisions of people at the hospital, kept on disk."""

import json
from pathlib import Path

import pytest

import client.approvals
from client.approvals import Approvals
from client.audit import Audit
from shared.errors import ConfigError, PolicyError
from tests.client.hospital import tiny_study

STUDY, OTHER = tiny_study(), tiny_study(name="other")


@pytest.fixture
def approvals(tmp_path: Path) -> Approvals:
    return Approvals(tmp_path, Audit(tmp_path / "audit.jsonl"))


def test_a_study_waits_with_the_time_of_its_first_request_until_it_is_approved(approvals: Approvals) -> None:
    approvals.ask(STUDY)
    (first,) = approvals.pending()
    assert (first.study, first.asked[:2]) == (STUDY, "20")
    approvals.ask(STUDY)
    assert approvals.pending() == [first]
    approvals.approve(approvals.find("tiny"))
    assert approvals.pending() == []
    assert approvals.approved(STUDY.digest())


def test_what_waits_is_found_by_name_or_digest_and_nothing_is_guessed(approvals: Approvals) -> None:
    for study in (STUDY, OTHER, tiny_study(seed=2)):
        approvals.ask(study)
    assert approvals.find("other") == OTHER
    assert approvals.find(STUDY.digest()[:8]) == STUDY
    for wanted in ("tiny", "nobody", STUDY.digest()[:7]):
        with pytest.raises(ConfigError, match="waiting"):
            approvals.find(wanted)


def test_each_decision_is_a_private_line_and_an_audit_line(approvals: Approvals, tmp_path: Path) -> None:
    approvals.approve(STUDY)
    approvals.withdraw(STUDY.digest())
    path = tmp_path / "approvals.jsonl"
    decisions = [json.loads(line)["approved"] for line in path.read_text().splitlines()]
    assert decisions == [True, False]
    assert path.stat().st_mode & 0o777 == 0o600
    entries = list(Audit(tmp_path / "audit.jsonl").entries())
    assert [(e["event"], e["study"]) for e in entries] == [
        ("approved", STUDY.digest()),
        ("withdrawn", STUDY.digest()),
    ]


def test_only_an_approval_can_be_withdrawn(approvals: Approvals) -> None:
    with pytest.raises(ConfigError, match="nothing to withdraw"):
        approvals.withdraw(STUDY.digest())


def test_nothing_is_approved_without_an_audit_line(approvals: Approvals, tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(OSError, match="directory"):
        approvals.approve(STUDY)
    assert not approvals.approved(STUDY.digest())


def test_a_line_that_was_cut_by_a_power_failure_never_counted(approvals: Approvals, tmp_path: Path) -> None:
    approvals.approve(STUDY)
    whole = (tmp_path / "approvals.jsonl").read_bytes()
    line = json.dumps(
        {"study": OTHER.digest(), "name": "other", "approved": True, "by": "x" * 500, "time": "y"}
    )
    (tmp_path / "approvals.jsonl").write_bytes(whole + line.encode())
    assert not approvals.approved(OTHER.digest())
    approvals.withdraw(STUDY.digest())
    assert not approvals.approved(STUDY.digest())
    assert (tmp_path / "approvals.jsonl").read_bytes().count(b"\n") == 2
    assert (tmp_path / "approvals.jsonl").read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("garbage", [b"x\n", b"{}\n", b"[]\n", b'{"study": 1}\n'])
def test_with_a_damaged_file_nothing_is_approved(
    approvals: Approvals, tmp_path: Path, garbage: bytes
) -> None:
    approvals.approve(STUDY)
    with (tmp_path / "approvals.jsonl").open("ab") as file:
        file.write(garbage)
    with pytest.raises(PolicyError, match="line 2") as refusal:
        approvals.approved(STUDY.digest())
    assert refusal.value.code == "policy.approval"


def test_ever_new_studies_do_not_fill_the_disk(approvals: Approvals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.approvals, "MAX_PENDING", 3)
    for seed in range(5):
        approvals.ask(tiny_study(seed=seed))
    assert len(approvals.pending()) == 3


def test_a_refused_study_waits_no_longer_and_is_not_asked_about_again(approvals: Approvals) -> None:
    approvals.ask(STUDY)
    approvals.refuse(STUDY, by="amal")
    approvals.ask(STUDY)
    assert approvals.pending() == []
    assert not approvals.approved(STUDY.digest())
    assert approvals.is_known(STUDY)
    decision = approvals.decisions()[STUDY.digest()]
    assert (decision.word, decision.by) == ("refused", "amal")
    with pytest.raises(ConfigError, match="nothing to withdraw"):
        approvals.withdraw(STUDY.digest())


def test_a_refusal_can_be_taken_for_a_yes_later_and_a_withdrawn_study_is_asked_about_again(
    approvals: Approvals,
) -> None:
    approvals.refuse(STUDY)
    approvals.approve(STUDY)
    assert approvals.approved(STUDY.digest())
    approvals.withdraw(STUDY.digest(), by="amal")
    approvals.ask(STUDY)
    assert [one.study for one in approvals.pending()] == [STUDY]
    assert approvals.decisions()[STUDY.digest()].word == "withdrawn"


def test_a_refusal_is_an_audit_line_with_the_persons_name(approvals: Approvals, tmp_path: Path) -> None:
    approvals.refuse(STUDY, by="amal")
    (entry,) = Audit(tmp_path / "audit.jsonl").entries("declined")
    assert (entry["study"], entry["by"]) == (STUDY.digest(), "amal")


def test_what_was_decided_about_is_kept_word_for_word(approvals: Approvals) -> None:
    assert approvals.decided(STUDY.digest()) is None
    approvals.refuse(STUDY)
    approvals.approve(OTHER)
    assert [approvals.decided(s.digest()) for s in (STUDY, OTHER)] == [STUDY, OTHER]


def test_a_damaged_file_refuses_nothing_for_good(approvals: Approvals, tmp_path: Path) -> None:
    approvals.refuse(STUDY)
    (tmp_path / "approvals.jsonl").write_text("damaged\n")
    approvals.ask(STUDY)
    assert [one.study for one in approvals.pending()] == [STUDY]
