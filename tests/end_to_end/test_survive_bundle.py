"""Only installed code runs: a changed bundle is refused by every hospital, and by the coordinator itself."""

import hashlib
import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.common.serde import user_config_to_proto
from flwr.proto.control_pb2 import StartRunRequest
from flwr.proto.fab_pb2 import Fab

from server.flower import Flower, Link
from shared.bundle import SETTING, bundle, pack
from simulations.deployment import Deployment
from tests.end_to_end.conftest import ROOT
from tests.end_to_end.deployments import Deploy, audit, online, started, status

pytestmark = pytest.mark.survive

PARTS = ("server", "client", "shared", "simulations")


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages, one line of which is another."""
    copy = tmp_path_factory.mktemp("changed")
    for part in PARTS:
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "wardround.py", copy)
    file = copy / "client" / "training.py"
    file.write_text(file.read_text() + "\nHARMLESS = True\n")
    return copy


@pytest.fixture(scope="module")
def trial(deploy: Deploy, changed: Path) -> Iterator[Deployment]:
    """A coordinator that runs the changed copy, and two hospitals that do not."""
    trial = deploy(2, start=False)
    trial.coordinator.environment = {"PYTHONPATH": str(changed), "PYTHONSAFEPATH": "1"}
    with trial:
        yield trial


def test_every_hospital_refuses_a_changed_bundle_and_both_sides_show_it(trial: Deployment) -> None:
    run = started(trial, {"priority": None})
    row = trial.wait(run, limit_s=120)
    assert row.state == "failed"
    for site in trial.nodes:
        assert f"{site} refused (policy.bundle)" in (row.reason or "")
        told = audit(trial, site)
        assert not [line for line in told if line["event"] in ("enrolled", "training")]
        assert [line for line in told if line["event"] == "bundle_refused"]
        assert "Install the same version of Wardround" in log_of(trial, site)
    shown = status(trial, run)["runs"][0]
    assert {site["name"]: (site["state"], site["reason"]) for site in shown["sites"]} == dict.fromkeys(
        trial.nodes, ("refused", "policy.bundle")
    )
    assert "policy.bundle" in shown["reason"]


def log_of(trial: Deployment, site: str) -> str:
    return (trial.folder / "sites" / site / "work" / "site.log").read_text()


def test_a_run_that_nobody_asked_us_for_is_not_executed_though_it_came_with_the_coordinators_token(
    trial: Deployment,
) -> None:
    settings = trial.settings
    project = zipfile.ZipFile(io.BytesIO(bundle())).read("pyproject.toml")
    foreign = pack(
        {"pyproject.toml": project, "server/app.py": b"app = None", "client/app.py": b"app = None"}
    )
    flower = Flower(
        Link(
            settings.local_fleet,
            settings.ca_pem.read_bytes(),
            settings.superlink_token.read_text().strip(),
            settings.superexec_secret.read_bytes(),
        )
    )
    config = user_config_to_proto({SETTING: "stolen"})
    fab = Fab(hash_str=hashlib.sha256(foreign).hexdigest(), content=foreign)
    request = StartRunRequest(fab=fab, override_config=config)
    number = flower._control.StartRun(request).run_id
    flower.close()
    trial.coordinator.wait_for(f"refused to execute Flower's run {number}: unknown run")
    assert online(trial) == set(trial.nodes)
