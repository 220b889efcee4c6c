"""The inline engine as the witness of what a deployment must give: same study, same sites, same seeds."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from client.app import app as client_app
from server.app import app as server_app
from server.results import Results
from shared.model import TrainedModel, Weights, digest
from simulations.engine import run_config, run_inline

LIMIT_S = 300.0
"""For a run of seconds, on a machine that has much else to do."""


def inline(study: Path, prepared: Mapping[str, Path], out: Path) -> Path:
    """Run a study in this process on copies of prepared sites; returns the run's folder."""
    files = []
    for name, folder in prepared.items():
        copy = out / "sites" / name
        shutil.copytree(folder / "cache", copy / "work" / "cache")
        values = yaml.safe_load((folder / "site.yaml").read_text()) | {"work": "work"}
        (copy / "site.yaml").write_text(yaml.safe_dump(values))
        files.append(copy / "site.yaml")
    config = run_config(study, out, sites=len(files), engine="inline")
    run_inline(server_app, client_app, files, config=config, workers=2)
    return out


def model(run: Path) -> Weights:
    return TrainedModel.load(run / "model").weights


def weights(run: Path) -> str:
    """Digest of a run's final weights: equal only for equal bits."""
    return digest(model(run))


def figures(results: Results) -> object:
    """Everything in results.json that must not depend on how the messages travelled."""
    return (
        [(entry.round, entry.validation) for entry in results.rounds],
        results.evaluation.federated,
        results.calibration,
        results.events,
    )
