"""What a site's own file decides; a study can only be refused by what it says."""

import json
from datetime import datetime, time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.approvals import Approvals
from client.audit import Audit
from client.node import Node
from client.policy import Policy, Rules
from shared.errors import ConfigError, PolicyError
from shared.study import Study
from tests.client.hospital import RUN, Weights, enrol, evaluate, site_at, tiny_study, train

STUDY = tiny_study()
PRIVATE = tiny_study(privacy={"epsilon": 2.0, "delta": 1e-3, "clip": 1.0})
NIGHT = datetime(2026, 3, 1, 23, 30)
DAY = datetime(2026, 3, 1, 12, 0)


class Spent:
    """A ledger whose runs have spent this much."""

    def __init__(self, **epsilon_of_run: float) -> None:
        self.runs = epsilon_of_run

    def spent(self) -> dict[tuple[str, str], float]:
        return {(run, PRIVATE.digest()): epsilon for run, epsilon in self.runs.items()}


def rules(folder: Path, *, now: datetime = DAY, ledger: Spent | None = None, **policy: Any) -> Rules:
    return Rules(
        Policy.parse(policy, "policy"),
        work=folder,
        audit=Audit(folder / "audit.jsonl"),
        ledger=ledger or Spent(),
        now=lambda: now,
    )


def refusal(of: Rules, study: Study, kind: str, run: str = RUN) -> str | None:
    """The code of the refusal, None where the rules allow it."""
    try:
        of.check(study, kind=kind, run=run)
    except PolicyError as error:
        return error.code
    return None


def events(folder: Path) -> list[tuple[str, str]]:
    lines = (folder / "audit.jsonl").read_text().splitlines()
    return [(e["event"], e.get("code", "")) for e in map(json.loads, lines)]


@pytest.mark.parametrize(
    ("studies", "code"),
    [
        ("any", None),
        (["tiny"], None),
        (["other", STUDY.digest()], None),
        (["other"], "policy.study"),
        ([tiny_study(seed=2).digest()], "policy.study"),
        ([], "policy.study"),
        ("ask", "policy.approval"),
    ],
)
def test_a_study_takes_part_only_if_the_site_lets_it(tmp_path: Path, studies: Any, code: str | None) -> None:
    assert refusal(rules(tmp_path, studies=studies), STUDY, "enrol") == code


def test_a_site_asks_unless_its_file_says_otherwise() -> None:
    assert Policy().studies == "ask"
    with pytest.raises(ConfigError, match="ask"):
        Policy.parse({"studies": None}, "policy")


def test_an_approval_is_for_one_text_of_a_study_and_can_be_withdrawn(tmp_path: Path) -> None:
    asking = rules(tmp_path)
    approvals = Approvals(tmp_path, Audit(tmp_path / "audit.jsonl"))
    assert refusal(asking, STUDY, "enrol") == "policy.approval"
    approvals.approve(STUDY)
    assert refusal(asking, STUDY, "train") is None
    assert refusal(asking, tiny_study(seed=2), "train") == "policy.approval"
    approvals.withdraw(STUDY.digest())
    assert refusal(asking, STUDY, "train") == "policy.approval"


def test_a_study_that_is_asked_for_again_and_again_is_one_line_of_the_audit(tmp_path: Path) -> None:
    asking = rules(tmp_path)
    for _ in range(3):
        assert refusal(asking, STUDY, "enrol") == "policy.approval"
    assert events(tmp_path) == [("refused", "policy.approval")]


def test_a_study_that_a_person_refused_is_refused_without_waiting_or_filling_the_audit(
    tmp_path: Path,
) -> None:
    audit = Audit(tmp_path / "audit.jsonl")
    approvals = Approvals(tmp_path, audit)
    approvals.refuse(STUDY, by="amal")
    for _ in range(3):
        assert refusal(rules(tmp_path), STUDY, "enrol") == "policy.approval"
    assert approvals.pending() == []
    assert [entry["event"] for entry in audit.entries()] == ["declined"]


@pytest.mark.parametrize(
    ("hours", "open_at", "closed_at"),
    [
        ("20:00-06:00", ["20:00", "23:59", "00:00", "05:59"], ["06:00", "12:00", "19:59"]),
        ("08:00-18:00", ["08:00", "17:59"], ["18:00", "07:59", "00:00"]),
        ("18:00-24:00", ["18:00", "23:59"], ["00:00", "17:59"]),
        (["12:00-13:00", "22:00-02:00"], ["12:30", "01:00"], ["13:00", "03:00"]),
        (None, ["00:00", "12:00"], []),
        ([], [], ["00:00", "12:00"]),
    ],
)
def test_hours_are_local_time_and_may_pass_midnight(
    hours: Any, open_at: list[str], closed_at: list[str]
) -> None:
    policy = Policy.parse({"hours": hours}, "policy")
    assert [t for t in open_at if not policy.is_open(time.fromisoformat(t))] == []
    assert [t for t in closed_at if policy.is_open(time.fromisoformat(t))] == []


@pytest.mark.parametrize(
    "hours", ["24:00-06:00", "8:00-9:00", "08:00-08:00", "night", 20, [7], "08:00-09:60"]
)
def test_hours_that_mean_nothing_are_refused(hours: Any) -> None:
    with pytest.raises(ConfigError, match="hours"):
        Policy.parse({"hours": hours}, "policy")


@pytest.mark.parametrize("kind", ["enrol", "train", "evaluate", "newton", "histograms", "finish"])
def test_only_training_and_scoring_wait_for_the_hours(tmp_path: Path, kind: str) -> None:
    closed = refusal(rules(tmp_path, studies="any", hours="20:00-06:00", now=DAY), STUDY, kind)
    assert closed == ("policy.hours" if kind in ("train", "evaluate") else None)
    assert refusal(rules(tmp_path, studies="any", hours="20:00-06:00", now=NIGHT), STUDY, kind) is None


@pytest.mark.parametrize(
    ("study", "bound", "spent", "kind", "code"),
    [
        (STUDY, 10.0, {}, "enrol", "policy.budget"),
        (STUDY, 10.0, {}, "train", "policy.budget"),
        (STUDY, 10.0, {}, "evaluate", None),
        (STUDY, None, {}, "train", None),
        (PRIVATE, 2.0, {}, "enrol", None),
        (PRIVATE, 1.9, {}, "enrol", "policy.budget"),
        (PRIVATE, 5.0, {"earlier": 2.0, "another": 1.0}, "enrol", None),
        (PRIVATE, 4.9, {"earlier": 2.0, "another": 1.0}, "enrol", "policy.budget"),
        (PRIVATE, 2.0, {RUN: 1.5}, "train", None),
    ],
)
def test_the_epsilon_of_all_runs_stays_within_the_budget(
    tmp_path: Path, *, study: Study, bound: float | None, spent: dict[str, float], kind: str, code: str | None
) -> None:
    limited = rules(tmp_path, studies="any", budget={"epsilon": bound}, ledger=Spent(**spent))
    assert refusal(limited, study, kind) == code


def count(of: Rules, *, run: str = RUN, round_number: int = 1, inputs: str = "w") -> str | None:
    try:
        with of.training(STUDY, run=run, round_number=round_number, inputs=inputs):
            return None
    except PolicyError as error:
        return error.code


def test_a_study_gets_no_more_updates_than_the_budget_over_all_its_runs(tmp_path: Path) -> None:
    limited = rules(tmp_path, studies="any", budget={"updates": 3})
    assert [count(limited, round_number=r) for r in (1, 2)] == [None, None]
    assert count(limited, round_number=2) is None  # the same answer again
    assert count(limited, run="run-2") is None
    assert count(limited, run="run-3") == "policy.budget"
    assert count(limited, round_number=1, inputs="other weights") == "policy.budget"
    assert count(limited, round_number=1) is None  # was counted
    assert events(tmp_path) == [("training", "")] * 3 + [("refused", "policy.budget")] * 2


def test_the_budget_counts_one_study_apart_from_another(tmp_path: Path) -> None:
    limited = rules(tmp_path, studies="any", budget={"updates": 1})
    assert count(limited) is None
    with limited.training(tiny_study(seed=2), run=RUN, round_number=1, inputs="w"):
        pass


def test_a_node_refuses_before_it_reads_data(tmp_path: Path) -> None:
    for number, policy in enumerate(({}, {"studies": "any", "budget": {"epsilon": 1}}, {"studies": []})):
        node = Node(site_at(tmp_path / "no such folder", tmp_path / str(number), policy=policy))
        with pytest.raises(PolicyError):
            enrol(node, STUDY)


def test_a_node_that_was_allowed_trains_within_its_budget_and_hours(
    phantoms: Path, tmp_path: Path, weights: Weights
) -> None:
    policy = {"studies": "any", "minimum_patients": 2, "budget": {"updates": 1}}
    node = Node(site_at(phantoms, tmp_path / "work", policy=policy))
    enrol(node, STUDY)
    first = train(node, STUDY, weights)
    assert all((train(node, STUDY, weights).arrays[n] == first.arrays[n]).all() for n in weights)
    with pytest.raises(PolicyError, match="updates") as refused:
        train(node, STUDY, weights, round_number=2)
    assert refused.value.code == "policy.budget"
    closed = site_at(phantoms, tmp_path / "work", policy={**policy, "hours": []})
    with pytest.raises(PolicyError, match="hours"):
        evaluate(Node(closed), STUDY, weights, "test", final=False)


def test_private_runs_at_a_node_spend_one_budget(phantoms: Path, tmp_path: Path, weights: Weights) -> None:
    policy = {"studies": "any", "minimum_patients": 2, "budget": {"epsilon": 3.0}}
    node = Node(site_at(phantoms, tmp_path / "work", policy=policy))
    enrol(node, PRIVATE)
    train(node, PRIVATE, weights)
    spent = node.ledger.spent()[RUN, PRIVATE.digest()]
    assert 1.0 < spent < 2.0
    again = tiny_study(name="second", privacy={"epsilon": 2.0, "delta": 1e-3, "clip": 1.0})
    with pytest.raises(PolicyError, match=r"budget\.epsilon is 3\.0"):
        enrol(node, again)


STUDIES = st.builds(
    tiny_study,
    name=st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True).filter(lambda name: name != "allowed"),
    seed=st.integers(0, 2**32),
    privacy=st.none()
    | st.fixed_dictionaries({"epsilon": st.floats(1e-6, 1e6), "delta": st.floats(1e-9, 0.5)}),
    priority=st.none() | st.just(STUDY.priority.model_dump() if STUDY.priority else None),
    strategy=st.fixed_dictionaries({"quorum": st.integers(1, 9), "deadline_s": st.floats(0.1, 1e9)}),
)
KINDS = st.sampled_from(["enrol", "train", "evaluate", "newton", "reliability", "finish"])
QUIET = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUIET
@given(study=STUDIES, kind=KINDS, studies=st.sampled_from(["ask", ["allowed"], ["0" * 64], []]))
def test_no_value_of_a_study_gets_it_past_a_site_that_does_not_know_it(
    tmp_path: Path, study: Study, kind: str, studies: Any
) -> None:
    code = refusal(rules(tmp_path, studies=studies), study, kind)
    assert code == ("policy.approval" if studies == "ask" else "policy.study")


@QUIET
@given(study=STUDIES, kind=st.sampled_from(["train", "evaluate"]))
def test_no_value_of_a_study_opens_closed_hours(tmp_path: Path, study: Study, kind: str) -> None:
    assert refusal(rules(tmp_path, studies="any", hours="20:00-06:00"), study, kind) == "policy.hours"


@QUIET
@given(
    study=STUDIES,
    kind=st.sampled_from(["enrol", "train"]),
    bound=st.floats(1e-3, 100),
    spent=st.floats(0, 100),
)
def test_a_study_trains_exactly_if_what_it_promises_is_left(
    tmp_path: Path, study: Study, kind: str, bound: float, spent: float
) -> None:
    limited = rules(tmp_path, studies="any", budget={"epsilon": bound}, ledger=Spent(earlier=spent))
    fits = study.privacy is not None and spent + study.privacy.epsilon <= bound * (1 + 1e-9)
    assert refusal(limited, study, kind) == (None if fits else "policy.budget")
