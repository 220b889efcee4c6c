"""The same study, inline and through a coordinator and hospitals as processes of their own: the same bits."""

import json
from collections.abc import Mapping
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from server.results import SCHEMA_FILE, Results
from shared.model import TrainedModel
from simulations.deployment import Deployment
from simulations.scenario import Scenario
from simulations.sites import set_up
from tests.end_to_end.conftest import ROOT, command
from tests.end_to_end.deployments import SITES, Deploy, board, results, started, study_file, until
from tests.end_to_end.inline import LIMIT_S, figures, inline, model, weights


@pytest.fixture(scope="module")
def deployment(deploy: Deploy) -> Deployment:
    """All four hospitals of the tiny scenario."""
    return deploy(4)


@pytest.fixture(scope="module")
def one(deployment: Deployment) -> str:
    """One finished run of the tiny study."""
    run = started(deployment)
    row = deployment.wait(run, limit_s=LIMIT_S)
    assert row.state == "finished", row.reason
    return run


@pytest.fixture(scope="module")
def witness(
    deployment: Deployment, phantoms: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same inline."""
    return inline(study_file(deployment), phantoms, tmp_path_factory.mktemp("inline"))


def test_every_weight_and_every_figure_is_bit_for_bit_that_of_inline(
    deployment: Deployment, one: str, witness: Path
) -> None:
    deployed, inlined = model(deployment.results(one)), model(witness)
    assert set(deployed) == set(inlined)
    assert max(float(np.abs(deployed[name] - inlined[name]).max()) for name in inlined) <= 1e-6
    assert weights(deployment.results(one)) == weights(witness)  # more than is promised, on one machine
    assert figures(results(deployment, one)) == figures(Results.read(witness / "results.json"))


def test_results_json_has_the_schema_and_the_keys_of_inline(
    deployment: Deployment, one: str, witness: Path
) -> None:
    deployed = json.loads((deployment.results(one) / "results.json").read_text())
    jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text())).validate(deployed)
    inlined = json.loads((witness / "results.json").read_text())
    assert keys(deployed) == keys(inlined)
    assert (deployed["engine"], inlined["engine"]) == ("deploy", "inline")
    assert all(site["bytes_up"] > 0 for entry in deployed["rounds"] for site in entry["sites"].values())


def keys(found: object) -> object:
    """All keys at all depths, without the values."""
    if isinstance(found, dict):
        return {key: keys(value) for key, value in found.items()}
    return [keys(value) for value in found] if isinstance(found, list) else None


def test_what_is_exported_is_a_model_that_evaluate_accepts(
    deployment: Deployment, one: str, phantoms: Mapping[str, Path], tmp_path: Path
) -> None:
    target = tmp_path / "exported"
    folder = str(deployment.coordinator_folder)
    printed = deployment.command("coordinator", "export", one, str(target), "--dir", folder)
    assert printed.strip() == str(target)
    assert sorted(path.name for path in target.iterdir()) == ["model", "report.html", "results.json"]
    assert weights(target) == weights(deployment.results(one))
    assert TrainedModel.load(target / "model").priority is not None
    report = (target / "report.html").read_text()
    assert all(site in report for site in SITES)
    data = next((phantoms["east"].parents[1] / "data").glob("east-*"))
    judged = command("evaluate", target / "model", data, "--json", "--split", "test")
    assert judged.code == 0, judged.stderr
    found = results(deployment, one).evaluation.federated
    assert found is not None
    assert found.sites["east"].dice == pytest.approx(json.loads(judged.stdout)["segmentation"]["dice"])


@pytest.mark.survive
def test_two_runs_at_once_end_as_each_alone(
    deployment: Deployment, one: str, phantoms: Mapping[str, Path], tmp_path: Path
) -> None:
    changes = {"name": "other", "seed": 8, "training.learning_rate": 0.01}
    alone = inline(study_file(deployment, changes), phantoms, tmp_path)
    runs = [started(deployment), started(deployment, changes)]

    def training(run: str) -> bool:
        return board(deployment, run).get("phase") in ("enrolment", "training")

    until(lambda: all(training(run) for run in runs), 60, "both runs under way at the same moment")
    for run in runs:
        row = deployment.wait(run, limit_s=LIMIT_S)
        assert row.state == "finished", row.reason
    found = [weights(deployment.results(run)) for run in runs]
    assert found == [weights(deployment.results(one)), weights(alone)]


@pytest.mark.survive
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_quickstart_study_deployed_gives_the_weights_of_inline(tmp_path: Path) -> None:
    scenario = Scenario.read(ROOT / "simulations" / "quickstart.yaml")
    files, _ = set_up(scenario, tmp_path, None, lambda *_: None)
    study = tmp_path / "study.yaml"
    study.write_text(scenario.study.to_yaml())
    with Deployment(tmp_path / "deployment", files) as deployment:
        run = deployment.start(study)
        row = deployment.wait(run, limit_s=540)
        assert row.state == "finished", row.reason
    inlined = inline(study, {name: file.parent for name, file in files.items()}, tmp_path / "inline")
    assert weights(deployment.results(run)) == weights(inlined)
    deployed = Results.read(deployment.results(run) / "results.json")
    assert figures(deployed) == figures(Results.read(inlined / "results.json"))
