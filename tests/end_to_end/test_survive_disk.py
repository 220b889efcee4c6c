"""A disk is full, at a hospital and at the coordinator; tmpfs stands for a small disk, which needs root."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from shared.model import TrainedModel, digest
from simulations.deployment import Deployment
from tests.end_to_end.deployments import (
    Deploy,
    in_rounds,
    results,
    site_status,
    started,
    state,
    status,
    until,
    until_round,
    until_training,
    work,
)
from tests.end_to_end.process_tree import frozen, workers

STUDY = {"priority": None, "training.rounds": 3, "training.local_epochs": 10}
SMALL_MB = 16
NO_LOG = "flower.8"
"""Flower's word for an app that crashed: what cannot be audited does not leave, not even our own code."""
MOUNT = shutil.which("mount")

pytestmark = [
    pytest.mark.survive,
    pytest.mark.skipif(os.geteuid() != 0 or MOUNT is None, reason="needs root and mount(8) for a small disk"),
]


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Put a small disk under `folder`, with what is in it."""
    kept = folder.with_name(f"{folder.name}-before")
    folder.rename(kept)
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_MB}m,mode=700", "tmpfs", folder], check=True)
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Leave no byte on the disk of `folder`; at the end there is room again."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    try:
        yield
    finally:
        filler.unlink()


@pytest.fixture(scope="module")
def trial(deploy: Deploy) -> Iterator[Deployment]:
    trial = deploy(3, start=False)
    runs = trial.coordinator_folder / "runs"
    runs.mkdir()
    with small_disk(work(trial, "east")), small_disk(runs), trial:
        yield trial


def weights(trial: Deployment, run: str) -> str:
    return digest(TrainedModel.load(trial.results(run) / "model").weights)


def test_a_hospital_whose_disk_is_full_fails_with_a_code_and_the_round_goes_on(trial: Deployment) -> None:
    run = started(trial, STUDY)
    until_training(trial, run, "north", 1)
    with ExitStack() as disk:
        with frozen(workers(trial.nodes["north"])):  # so that the round lasts
            until(lambda: state(trial, run, "east") == "used", what="east's first answer")
            disk.enter_context(full(work(trial, "east")))
        until_training(trial, run, "north", 2)
        with frozen(workers(trial.nodes["north"])):
            until(lambda: state(trial, run, "east") == "failed", 40, "word of the failure")
            shown = site_status(trial, run, "east")
    assert shown["reason"] == NO_LOG
    assert trial.wait(run, limit_s=120).state == "finished"
    found = results(trial, run)
    assert in_rounds(found, "east") == ["used", f"failed: {NO_LOG}", "used"]
    assert {tuple(in_rounds(found, site)) for site in ("north", "south")} == {("used",) * 3}
    verified = trial.command("site", "audit", "verify", str(work(trial, "east").parent / "site.yaml"))
    assert "unbroken" in verified


def test_a_run_whose_checkpoint_finds_no_room_fails_with_the_reason_and_goes_on_to_the_same_weights(
    trial: Deployment,
) -> None:
    undisturbed = started(trial, STUDY)
    assert trial.wait(undisturbed, limit_s=120).state == "finished"
    run = started(trial, STUDY)
    until_round(trial, run, 2)
    with full(trial.coordinator_folder / "runs"):
        row = trial.wait(run, limit_s=120)
        assert row.state == "failed"
        assert "No space left on device" in (row.reason or "")
        assert status(trial, run)["runs"][0]["reason"] == row.reason
    trial.command("coordinator", "start", "--resume", run, "--dir", str(trial.coordinator_folder))
    assert trial.wait(run, limit_s=120).state == "finished"
    assert [r.round for r in results(trial, run).rounds] == [1, 2, 3]
    assert weights(trial, run) == weights(trial, undisturbed)
