"""What a hospital decides about a study shows at the coordinator by its code, and the others go on."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml

from simulations.deployment import Deployment
from tests.end_to_end.deployments import (
    Deploy,
    audited,
    in_rounds,
    results,
    set_values,
    site_status,
    started,
    until,
)

pytestmark = pytest.mark.survive

SHORT = {"priority": None, "training.rounds": 2}
CAUTIOUS = "east"


@pytest.fixture(scope="module")
def trial(deploy: Deploy) -> Deployment:
    return deploy(3)


@pytest.fixture
def policy(trial: Deployment) -> Iterator[Any]:
    """Changes the policy of one site while it runs; put back at the end."""
    file = trial.folder / "sites" / CAUTIOUS / "site.yaml"
    before = yaml.safe_load(file.read_text())["policy"]

    def change(**values: Any) -> None:
        set_values(file, policy={**before, **values})

    yield change
    set_values(file, policy=before)


def test_a_run_waits_for_a_hospital_that_asks_its_people_and_goes_on_with_their_approval(
    trial: Deployment, policy: Any
) -> None:
    policy(studies="ask")
    run = started(trial, SHORT)
    until(lambda: site_status(trial, run, CAUTIOUS).get("state") == "approval", what="a wish for approval")
    assert site_status(trial, run, CAUTIOUS)["reason"] == "policy.approval"
    assert trial.run(run).state == "running"
    site_file = str(trial.folder / "sites" / CAUTIOUS / "site.yaml")
    assert "tiny" in trial.command("site", "approve", site_file)
    trial.command("site", "approve", site_file, "tiny")
    assert trial.wait(run, limit_s=120).state == "finished"
    assert in_rounds(results(trial, run), CAUTIOUS) == ["used", "used"]
    assert audited(trial, CAUTIOUS, "approved")


def closed_now() -> str:
    """Hours that begin in six hours and last one."""
    start = datetime.now().astimezone() + timedelta(hours=6)
    return f"{start:%H:%M}-{start + timedelta(hours=1):%H:%M}"


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"hours": closed_now()}, "policy.hours"),
        (
            {"minimum_patients": 25},
            "policy.minimum_patients",
        ),
        ({"budget": {"updates": 0}}, "policy.budget"),
        ({"release": ["enrolment", "segmentation", "finished"]}, "policy.kind"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_policy_refuses_is_refused_by_name_and_the_round_goes_on_with_the_others(
    trial: Deployment, policy: Any, values: dict[str, Any], code: str
) -> None:
    policy(**values)
    run = started(trial, {**SHORT, "training.rounds": 1})
    assert trial.wait(run, limit_s=120).state == "finished"
    found = results(trial, run)
    assert in_rounds(found, CAUTIOUS) == [f"refused: {code}"]
    assert {s for r in found.rounds for s, o in r.sites.items() if o.status == "used"} == {"north", "south"}
    refused = {(e.site, e.status, e.reason) for e in found.events if e.phase == "training"}
    assert refused == {(CAUTIOUS, "refused", code)}
    assert audited(trial, CAUTIOUS, "refused", code=code)
    assert (trial.results(run) / "model" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("values", "code"),
    [({"studies": ["another"]}, "policy.study"), ({"budget": {"epsilon": 1.0}}, "policy.budget")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_study_that_a_policy_rules_out_runs_without_that_hospital(
    trial: Deployment, policy: Any, values: dict[str, Any], code: str
) -> None:
    policy(**values)
    run = started(trial, {**SHORT, "training.rounds": 1})
    assert trial.wait(run, limit_s=120).state == "finished"
    found = results(trial, run)
    assert [(e.phase, e.site, e.status, e.reason) for e in found.events] == [
        ("enrolment", CAUTIOUS, "refused", code)
    ]
    assert sorted(found.rounds[0].sites) == ["north", "south"]
    shown = site_status(trial, run, CAUTIOUS)
    assert (shown["state"], shown["reason"]) == ("refused", code)
