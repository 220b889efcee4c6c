"""What a study asks and what a policy says, in words."""

from pathlib import Path

import pytest

from client.policy import RELEASABLE, Policy
from client.policy_words import policy_words
from client.study_words import asks
from shared.study import Study
from tests.client.hospital import tiny_study

SCENARIOS = sorted(
    path for path in Path("simulations").glob("*.yaml") if "\nstudy:" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_study_that_comes_with_wardround_can_be_said(path: Path) -> None:
    said = dict(asks(Study.load(path)))
    assert len(said) == 12
    assert all(said.values())
    assert "None" not in str(said)


def test_what_a_person_decides_by_is_said_with_its_numbers() -> None:
    study = tiny_study(privacy={"epsilon": 3.0, "delta": 1e-5}, requires={"minimum_patients": 30})
    said = dict(asks(study))
    assert "epsilon 3, delta 1e-05" in said["What is protected"]
    assert said["What a site must have"] == "30 patients at least"
    assert said["How much training"].startswith("2 rounds; in each, 1 pass over")
    assert "age in years" in said["Which history it uses"]
    assert said["Whose scans judge it"].startswith("30 % of the patients")


def test_a_study_that_only_outlines_says_so() -> None:
    said = dict(asks(tiny_study(priority=None)))
    assert said["What the reading order is"] == "none: the study only outlines"
    assert said["What is protected"] == "nothing by differential privacy; only sums leave"


def test_every_kind_stands_on_one_side_of_the_policy() -> None:
    policy = Policy.parse({"release": ["enrolment", "failure"], "hours": "20:00-06:00"}, "test")
    said = dict(policy_words(policy))
    may, never = said["May leave"], said["May never leave"]
    for kind in RELEASABLE:
        assert (f"{kind}:" in may) != (f"{kind}:" in never), kind
    assert "20:00-06:00" in said["Hours"]


def test_a_bound_is_said_with_its_number() -> None:
    said = dict(policy_words(Policy.parse({"budget": {"epsilon": 5, "updates": 40}}, "test")))
    assert said["Budget of epsilon"].startswith("5 in all")
    assert said["Budget of weight changes"].startswith("40 for one study")
    assert "no bound" in dict(policy_words(Policy()))["Budget of epsilon"]
