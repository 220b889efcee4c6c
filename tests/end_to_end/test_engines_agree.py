"""The same study through every engine gives the same model."""

from pathlib import Path

import numpy as np
import pytest

from server.results import Results
from shared.model import TrainedModel, digest
from tests.end_to_end.conftest import TINY, FinishedRun, Forked, command


@pytest.mark.parametrize("workers", [1, 4])
def test_inline_gives_the_same_bits_however_many_sites_compute_at_once(
    workers: int, finished: FinishedRun, prepared: Path, forked: Forked
) -> None:
    ended = forked("simulate", TINY, "--out", prepared, "--quiet", "--set", f"workers={workers}")
    assert ended.code == 0, ended.stderr
    two = TrainedModel.load(finished.out / "model").weights
    assert digest(TrainedModel.load(prepared / "model").weights) == digest(two)


@pytest.mark.slow
def test_flowers_ray_backend_gives_the_inline_model(
    finished: FinishedRun, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "0")
    ended = command("simulate", TINY, "--out", prepared, "--engine", "ray")
    assert ended.code == 0, ended.stderr
    results = Results.read(prepared / "results.json")
    assert results.engine == "ray"
    assert results.events == ()
    ray = TrainedModel.load(prepared / "model").weights
    inline = TrainedModel.load(finished.out / "model").weights
    assert set(ray) == set(inline)
    assert max(float(np.abs(ray[name] - inline[name]).max()) for name in inline) <= 1e-6
