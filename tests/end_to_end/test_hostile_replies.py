"""One hospital lies, through its own SuperNode: every lie is refused by name, and no other site suffers."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from simulations.deployment import Deployment
from tests.end_to_end.deployments import Deploy, events, in_rounds, results, started, study_file, work
from tests.end_to_end.hostile_replies import ATTACKS
from tests.end_to_end.hostile_supernode import REPEATED
from tests.end_to_end.inline import LIMIT_S, inline, weights

pytestmark = pytest.mark.survive

EVIL = "west"
HONEST = ("east", "north")
SITES = (*HONEST, EVIL)
FATES = {
    "a wrong shape": "refused: shapes",
    "the answer of the round before": "refused: round",
    "an answer of another run": "refused: run",
    "not a number": "refused: not_finite",
    "an enormous norm": "refused: norm",
    "a negative number of patients": "refused: patients",
    "one answer more than was asked": "refused: count",
    "bytes that are no arrays": "failed: wire",
    "many parts that are too much together": "refused: too_large",
    "more bytes than a message may have": "late: deadline",
}
DEADLINE_S = 15  # what the last attack takes


@pytest.fixture(scope="module")
def deployment(deploy: Deploy) -> Deployment:
    """Three sites, one of them hostile, at a coordinator that takes a megabyte at most."""
    made = deploy(SITES, coordinator={"max_message_mb": 1}, start=False)
    node = made.nodes[EVIL]
    node.arguments = [sys.executable, "-m", "tests.end_to_end.hostile_site", *node.arguments[3:]]
    return made.__enter__()


def test_every_lie_is_refused_and_the_model_is_that_of_the_honest_sites(
    deployment: Deployment, phantoms: Mapping[str, Path], tmp_path: Path
) -> None:
    changes = {
        "name": "hostile",
        "training.rounds": len(ATTACKS),
        "strategy.deadline_s": DEADLINE_S,
    }
    run = started(deployment, changes)
    row = deployment.wait(run, limit_s=LIMIT_S)
    assert row.state == "finished", row.reason
    found = results(deployment, run)
    assert dict(zip(ATTACKS, in_rounds(found, EVIL), strict=True)) == FATES
    for site in HONEST:
        assert in_rounds(found, site) == ["used"] * len(ATTACKS)
        assert events(found, site) == []
    told = [(event[1], f"{event[3]}: {event[4]}") for event in events(found, EVIL) if event[0] == "training"]
    assert told == list(enumerate(FATES.values(), start=1))
    assert found.evaluation.federated is not None
    assert sorted(found.evaluation.federated.sites) == sorted(SITES)  # after all that it is asked again
    without = inline(study_file(deployment, changes), {s: phantoms[s] for s in HONEST}, tmp_path)
    assert weights(deployment.results(run)) == weights(without)


def test_an_answer_that_comes_again_counts_once(
    deployment: Deployment, phantoms: Mapping[str, Path], tmp_path: Path
) -> None:
    run = started(deployment)  # in this study it only repeats itself
    row = deployment.wait(run, limit_s=LIMIT_S)
    assert row.state == "finished", row.reason
    found = results(deployment, run)
    assert events(found) == []
    assert in_rounds(found, EVIL) == ["used"] * 3
    said = (work(deployment, EVIL) / "supernode.log").read_text()
    assert said.count(REPEATED) >= 2 * len(found.rounds)  # twice each, so they did arrive
    once = inline(study_file(deployment), {s: phantoms[s] for s in SITES}, tmp_path)
    assert weights(deployment.results(run)) == weights(once)
