"""`wardround coordinator up` as a process: one a folder, the store is the truth, and a stop loses nothing."""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from server.flower import Flower, Link
from server.store import OPEN, RUNNING, WAITING, Store
from shared.invite import new_code
from shared.signing import new_key, public_bytes
from shared.study import Study
from simulations.deployment import PROGRAM, Deployment
from tests.server.loopback import until

STUDY = Study.parse({"name": "quick", "task": {"classes": ["tumour"]}, "strategy": {"quorum": 1}}, "test")


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A coordinator that is up, and one member that never comes online: so every run waits for it."""
    folder = tmp_path_factory.mktemp("deployment")
    made = Deployment(folder, {})
    made.init()
    (folder / "study.yaml").write_text(STUDY.to_yaml())
    store = Store.open(made.settings.database_url)
    code = new_code()
    store.invite("hospital-a", code=code, expires=datetime.now(UTC) + timedelta(days=1))
    key = public_bytes(new_key(folder / "node.key"))
    store.redeem(code, site="hospital-a", public_key=key, version="0")
    store.close()
    with made:
        yield made


@pytest.fixture(autouse=True)
def _none_left(coordinator: Deployment) -> Iterator[None]:
    """Whatever a test leaves, the next one finds a coordinator that is up and has nothing to do."""
    yield
    store = Store.open(coordinator.settings.database_url)
    for run in store.runs((RUNNING, WAITING)):
        store.stop(run.id)
    if coordinator.coordinator.process is None or coordinator.coordinator.process.poll() is not None:
        coordinator.up()
    until(lambda: not store.runs(OPEN), "the end of all runs", within_s=60)
    store.close()


def start(coordinator: Deployment) -> str:
    """A run that has come to wait for its site."""
    run = coordinator.start(coordinator.folder / "study.yaml")
    board = coordinator.results(run) / "status.json"
    until(board.exists, f"{run} under way: {coordinator.coordinator.printed()}", within_s=60)
    return run


def typed(coordinator: Deployment, *words: str) -> str:
    return coordinator.command("coordinator", *words, "--dir", str(coordinator.coordinator_folder))


def flower_of(coordinator: Deployment) -> Flower:
    """As the holder of this folder's secrets."""
    settings = coordinator.settings
    link = Link(
        settings.local_fleet,
        settings.ca_pem.read_bytes(),
        settings.superlink_token.read_text().strip(),
        settings.superexec_secret.read_bytes(),
    )
    return Flower(link)


def forks_of(coordinator: Deployment, run: str) -> list[psutil.Process]:
    """The processes that have this run's log open."""
    assert coordinator.coordinator.process is not None
    below = psutil.Process(coordinator.coordinator.process.pid).children(recursive=True)
    log = str(coordinator.results(run) / "run.log")
    return [p for p in below if any(file.path == log for file in p.open_files())]


def test_a_second_coordinator_in_the_same_folder_is_refused_and_the_first_is_not_disturbed(
    coordinator: Deployment,
) -> None:
    folder = str(coordinator.coordinator_folder)
    second = subprocess.run(
        [*PROGRAM, "coordinator", "up", "--dir", folder],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 2
    assert f"a coordinator is up in {folder} already" in " ".join(second.stderr.split())
    assert json.loads(typed(coordinator, "status", "--json"))["up"] is True


def test_a_run_that_nobody_asked_the_coordinator_for_is_not_executed(coordinator: Deployment) -> None:
    flower = flower_of(coordinator)
    stranger = flower.start("nobody-asked")
    flower.close()
    said = f"refused to execute Flower's run {stranger}: unknown run"
    until(lambda: said in coordinator.coordinator.printed(), said)
    assert not coordinator.results("nobody-asked").exists()
    assert json.loads(typed(coordinator, "runs", "--json"))["runs"] == []


def test_a_running_run_is_stopped_and_watched_until_it_is(coordinator: Deployment) -> None:
    run = start(coordinator)
    (process,) = forks_of(coordinator, run)
    folder = str(coordinator.coordinator_folder)
    watch = subprocess.Popen(
        [*PROGRAM, "coordinator", "status", run, "--watch", "--json", "--dir", folder],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watch.stdout is not None
        first: dict[str, Any] = json.loads(watch.stdout.readline())
        assert (first["up"], first["runs"][0]["state"]) == (True, "running")
        assert first["runs"][0]["sites"][0]["reason"] == "offline"  # it says who is missing
        assert f"{run} is stopping" in typed(coordinator, "stop", run)
        rest, _ = watch.communicate(timeout=30)
    finally:
        watch.kill()
        watch.communicate()  # closes its pipe too
    assert watch.returncode == 0
    later = [json.loads(line) for line in rest.splitlines()]  # one document a line, for programs
    assert later[-1]["runs"][0]["state"] == "stopped"
    until(lambda: not process.is_running(), "the end of the run's process")
    row = coordinator.run(run)
    assert (row.state, row.reason) == ("stopped", "stopped by the coordinator")


def test_a_clean_shutdown_leaves_its_runs_to_go_on_and_one_stopped_meanwhile_does_not(
    coordinator: Deployment,
) -> None:
    kept, dropped = start(coordinator), start(coordinator)
    pids = [process.pid for run in (kept, dropped) for process in forks_of(coordinator, run)]
    assert len(pids) == 2
    coordinator.coordinator.end()
    assert coordinator.coordinator.wait() == 0
    assert "stopped; 2 run(s) go on at the next `up`" in coordinator.coordinator.printed()
    until(lambda: not any(psutil.pid_exists(pid) for pid in pids), "the end of the runs' processes")
    assert {coordinator.run(run).state for run in (kept, dropped)} == {"running"}
    typed(coordinator, "stop", dropped)
    waiting = coordinator.start(coordinator.folder / "study.yaml")
    assert f"{waiting} is stopped" in typed(coordinator, "stop", waiting)  # nobody need be up for that

    coordinator.up()
    until(lambda: coordinator.run(dropped).state == "stopped", "the stop asked for meanwhile")
    until(lambda: forks_of(coordinator, kept), "the run that goes on", within_s=60)
    printed = coordinator.coordinator.printed()
    assert f"{kept}: goes on from its newest checkpoint" in printed
    assert f"{waiting}: started" not in printed


def test_logs_and_secrets_are_their_owners_alone(coordinator: Deployment) -> None:
    settings = coordinator.settings
    start(coordinator)
    private = [*settings.logs.iterdir(), *settings.runs.glob("*/run.log"), *settings.secrets.iterdir()]
    assert {path.name for path in private} >= {"coordinator.log", "superlink.log", "run.log", "ca.key"}
    assert {oct(path.stat().st_mode & 0o777) for path in private} == {"0o600"}
    assert oct(Path(settings.secrets).stat().st_mode & 0o777) == "0o700"
    log = (settings.logs / "coordinator.log").read_text()
    assert "up: hospitals reach" in log
    for secret in (settings.admin_token, settings.superlink_token):
        assert secret.read_text().strip() not in log + (settings.logs / "superlink.log").read_text()
