"""The benchmarks run at their smallest size and say what they mean; how fast they are is never asserted."""

import json
import math
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from client.data.cache import SiteData
from client.uncertainty import Readings
from server.results import Results
from shared.errors import DataError
from shared.model import build, initial_weights
from simulations.benchmarks import loading, monai_loop, payload, preparation, reading, rounds, throughput
from simulations.benchmarks.__main__ import QUICK_READING, Part, main
from simulations.benchmarks.comparison import Comparison, table
from simulations.benchmarks.hospitals import quickstart_study
from simulations.benchmarks.rounds import covered_s
from simulations.benchmarks.workload import LOADERS, Size, Workload, mapped_cases, one_thread
from simulations.engine import engine

ROOT = Path(__file__).parents[2]
SMALLEST = Size(cases=3, shape=(40, 40, 24), epochs=1, repeats=1, preparations=1)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    return Workload.write(SMALLEST, tmp_path_factory.mktemp("work") / "hospital")


@pytest.fixture(scope="module")
def prepared(work: Workload, tmp_path_factory: pytest.TempPathFactory) -> SiteData:
    return work.prepare(tmp_path_factory.mktemp("prepared"))


def assert_finite_and_positive(comparisons: Sequence[Comparison]) -> None:
    for found in comparisons:
        figures = [*found.ratios.values(), *(s for values in found.samples.values() for s in values)]
        assert all(math.isfinite(f) and f > 0 for f in figures), found
        assert len(found.ratios) == len(found.samples) - 1
        json.dumps(found.as_json(), allow_nan=False)


def test_both_engines_are_measured_in_turn_on_the_same_study(tmp_path: Path) -> None:
    size = rounds.Size(sites=2, patients_per_site=10, rounds=2, repeats=2, channels=(2, 4))
    one, two = (engine("inline", workers=workers, threads=1) for workers in (1, 2))
    found = rounds.measure(size, {"one": one, "two": two}, tmp_path)
    assert_finite_and_positive(found)
    _, first, later, _ = found
    assert [len(first.samples[name]) for name in ("one", "two")] == [2, 2]
    assert [len(later.samples[name]) for name in ("one", "two")] == [2, 2]
    runs = [Results.read(tmp_path / f"run-{i}-{j}" / "results.json") for i in (0, 1) for j in (0, 1)]
    assert [r.engine for r in runs] == ["one", "two", "one", "two"]
    assert [r.events for r in runs] == [()] * 4
    assert all(r.study == runs[0].study for r in runs)
    measured = [*first.samples["one"], *later.samples["one"]]
    whole = [r.rounds[n].seconds for n in (0, 1) for r in (runs[0], runs[2])]
    assert all(beyond < seconds for beyond, seconds in zip(measured, whole, strict=True))


def test_every_way_to_train_gives_a_ratio(work: Workload, tmp_path: Path) -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
        found = (
            *preparation.measure(work, SMALLEST, tmp_path),
            *throughput.measure(work, SMALLEST, tmp_path),
        )
    assert_finite_and_positive(found)
    assert all(set(LOADERS) < set(c.samples) for c in found if "read whole" not in c.measure)


def test_scans_are_prepared_and_drawn_in_every_way(tmp_path: Path) -> None:
    size = loading.Size("tiny", 2, (24, 20, 16), 1.5, (8, 8, 8), epochs=1, repeats=1)
    with one_thread():
        cold, threaded, rates, memory_mb = loading.measure(size, tmp_path)
    assert_finite_and_positive((cold, threaded, rates, memory_mb))
    assert list(rates.samples) == list(memory_mb.samples) == list(loading.WAYS)
    entries = [json.loads(path.read_text()) for path in (tmp_path / "cache-0").glob("????*.json")]
    shapes = [entry["shape"] for entry in entries if "source_shape" in entry]
    assert shapes == [[16, 16, 12]] * 2  # at 1.5 mm, padded to the network's stride in X and Y
    filled = [torch.load(path, weights_only=False) for path in (tmp_path / "filled-0").glob("*.pt")]
    assert [tuple(case["image"].shape) for case in filled] == [(1, 16, 14, 11)] * 2  # MONAI rounds up


@pytest.mark.parametrize("name", LOADERS)
def test_monais_loop_has_our_task(name: str, work: Workload, prepared: SiteData) -> None:
    batches = list(work.loader(name))
    window, size = work.study.training.window, work.study.training.batch_size
    assert sum(len(b["image"]) for b in batches) == len(prepared.cases) == SMALLEST.cases
    assert batches[0]["image"].shape == batches[0]["label"].shape == (size, 1, *window)
    assert {float(v) for b in batches for v in np.unique(b["label"])} <= {0.0, 1.0}
    ours = np.concatenate([image.ravel() for image, _ in mapped_cases(prepared)])
    assert max(float(np.abs(b["image"]).max()) for b in batches) < 2 * float(np.abs(ours).max())
    loss = monai_loop.train(initial_weights(work.study), work.loader(name), work.study, epochs=1)
    assert 0 < loss < 5


def test_a_round_of_wardround_moves_the_weights_once_each_way_and_little_else(tmp_path: Path) -> None:
    found = {c.measure: c.samples for c in payload.measure(tmp_path)}
    assert_finite_and_positive([Comparison(m, "bytes", "lower", s, "") for m, s in found.items()])
    study = quickstart_study()
    weights_bytes = sum(4 * p.numel() for p in build(study).parameters())
    for measure in ("down, training instruction", "up, update", "down, weights to validate"):
        for (size,) in found[measure].values():
            assert weights_bytes < size < weights_bytes + 450 * len(initial_weights(study)) + 2000
    whole = found.pop("whole round, both ways")
    for name, (size,) in whole.items():
        assert size == sum(samples[name][0] for samples in found.values())


@pytest.mark.parametrize(("better", "ratio"), [("lower", 4.0), ("higher", 0.25)])
def test_a_ratio_above_one_means_that_wardround_is_better(better: str, ratio: float) -> None:
    samples = {"Wardround": (2.0, 1.0, 9.0), "other": (8.0, 1.0, 8.0)}
    comparison = Comparison("speed", "s", better, samples, "")  # type: ignore[arg-type]
    assert comparison.ratios == {"other": ratio}
    assert comparison.best("Wardround") == (1.0 if better == "lower" else 9.0)
    assert table("title", (comparison,)).row_count == 3


@pytest.mark.parametrize("samples", [{"only": (1.0,)}, {"one": (1.0,), "none": ()}])
def test_a_comparison_of_nothing_is_refused(samples: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match="expected two alternatives"):
        Comparison("speed", "s", "lower", samples, "")


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted), max_size=6))
def test_seconds_in_which_any_site_trains_are_counted_once(intervals: list[list[int]]) -> None:
    ticks = {tick for begin, end in intervals for tick in range(begin, end)}
    assert covered_s([(float(b), float(e)) for b, e in intervals]) == len(ticks)


def test_a_series_is_read_with_findings_and_every_step_has_its_share(tmp_path: Path) -> None:
    found = reading.measure(QUICK_READING, tmp_path)
    assert_finite_and_positive(found)
    (one,) = found
    assert re.search(r"findings: [1-9]", one.note)
    steps = re.findall(r"(\w[\w ]*) [\d.]+ s \((\d+) %\)", one.note)
    names = [name for name, _ in steps]
    assert {"read", "prepare", "network", "findings", "DICOM files", "explanation", "worklist"} <= set(names)
    assert sum(int(share) for _, share in steps) == pytest.approx(100, abs=len(steps) / 2)


def test_a_time_without_findings_is_not_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.predict.pipeline.read", _nothing)
    with pytest.raises(DataError, match="found nothing"):
        reading.measure(QUICK_READING, tmp_path)


def _nothing(networks: object, image: np.ndarray, study: object, *, flips: object) -> Readings:
    none = np.zeros((2, *image.shape[1:]), np.float32)
    none[0] = 1
    return Readings(none, None, (np.packbits(none[1] > 0),))


def test_the_command_prints_json_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    main(quick=True, as_json=True, only=[Part.payload])
    found = json.loads(capsys.readouterr().out)
    assert found["machine"]["quick"] is True
    assert {c["unit"] for c in found["parts"]["payload"]} == {"bytes"}
    assert all(c["note"] and c["ratio_of_medians"] for c in found["parts"]["payload"])


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param({"payload", "throughput", "rounds"}, marks=pytest.mark.slow),
        pytest.param({"deployed", "memory"}, marks=pytest.mark.survive),
        pytest.param({"pages"}, marks=pytest.mark.slow),
    ],
    ids=lambda parts: " and ".join(sorted(parts)),
)
def test_everything_is_measured_flowers_ray_backend_and_deployment_included(parts: set[str]) -> None:
    only = [word for part in parts for word in ("--only", part)]
    done = subprocess.run(
        [sys.executable, "-m", "simulations.benchmarks", "--quick", "--json", *only],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["parts"]) == parts
    ratios = [r for part in found["parts"].values() for c in part for r in c["ratio_of_medians"].values()]
    assert all(math.isfinite(r) and r > 0 for r in ratios)
