"""Random windows in one way, and the memory for them: ``python -m simulations.benchmarks.crops WAY FILE``."""

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from client.data.windows import WindowSource, epoch
from client.training import tensors
from shared.randomness import generator
from shared.study import Study
from simulations.benchmarks import monai_loop
from simulations.benchmarks.hospitals import SEED
from simulations.benchmarks.loading import PERSISTENT, prepared
from simulations.benchmarks.proc import anonymous_mb
from simulations.benchmarks.workload import LOADERS, OURS, mapped_cases

Epoch = Callable[[], Iterable[Any]]


def main() -> None:
    """Draw every case once an epoch, as FILE says, and print the rate and the memory as JSON."""
    way, file = sys.argv[1], Path(sys.argv[2])
    warnings.simplefilter("ignore")  # a user cannot act on a library's deprecation
    torch.set_num_threads(1)
    values = json.loads(file.read_text(encoding="utf-8"))
    study = Study.parse(values["study"], str(file))
    before_mb = anonymous_mb()
    one = MAKERS[way](values, study)
    _exhaust(one())  # opens what is opened once
    begin_s = time.perf_counter()
    windows = sum(_exhaust(one()) for _ in range(values["epochs"]))
    seconds = time.perf_counter() - begin_s
    found = {"windows_per_s": windows / seconds, "memory_mb": max(anonymous_mb() - before_mb, 0.1)}
    print(json.dumps(found))  # noqa: T201 - for simulations/benchmarks/loading.py


def _exhaust(batches: Iterable[Any]) -> int:
    return sum(batch.shape[0] for batch in batches)


def _ours(values: dict[str, Any], study: Study) -> Epoch:
    data = prepared(Path(values["scans"]), study, Path(values["cache"]))
    source, rng = WindowSource(mapped_cases(data)), generator(SEED, "crops")
    training, dimensions = study.training, study.model.dimensions
    return lambda: (
        tensors(batch, "cpu")[0] for batch in epoch(source, training=training, dimensions=dimensions, rng=rng)
    )


def _cached(name: str, values: dict[str, Any], study: Study) -> Epoch:
    loader = LOADERS[name](values["files"], study, seed=SEED)
    return lambda: (batch["image"] for batch in loader)


def _persistent(values: dict[str, Any], study: Study) -> Epoch:
    loader = monai_loop.persistent_loader(values["files"], study, folder=values["persistent"], seed=SEED)
    return lambda: (batch["image"] for batch in loader)


MAKERS: dict[str, Callable[[dict[str, Any], Study], Epoch]] = {
    OURS: _ours,
    **{name: partial(_cached, name) for name in LOADERS},
    PERSISTENT: _persistent,
}

if __name__ == "__main__":
    main()
