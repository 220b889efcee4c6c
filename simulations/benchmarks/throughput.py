"""Training windows per second once the data is prepared: our cache and loop beside MONAI's."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median

from monai.data import DataLoader

from client.data.windows import WindowSource, epoch
from client.training import Case, Span, tensors, train
from shared.model import Weights, initial_weights
from shared.randomness import generator
from shared.study import Study
from simulations.benchmarks import monai_loop
from simulations.benchmarks.comparison import Comparison
from simulations.benchmarks.hospitals import SEED
from simulations.benchmarks.workload import LOADERS, OURS, Size, Workload, interleaved, mapped_cases

NEGLIGIBLE = 0.1


def measure(work: Workload, size: Size, folder: Path) -> tuple[Comparison, ...]:
    """Draw windows in every way, then train in every way; blocks of `size.epochs` take turns."""
    cases = mapped_cases(work.prepare(folder / "cache-0"))
    loaders = {name: work.loader(name) for name in LOADERS}
    study, weights = work.study, initial_weights(work.study)
    drawn = _rates(
        {OURS: partial(_draw, cases, study, size.epochs)}
        | {name: partial(_draw_from, loader, size.epochs) for name, loader in loaders.items()},
        size,
    )
    trained = _rates(
        {OURS: partial(_train, cases, study, weights, size.epochs)}
        | {
            name: partial(monai_loop.train, weights, loader, study, epochs=size.epochs)
            for name, loader in loaders.items()
        },
        size,
    )
    setting = (
        f"{size.cases} scans of {'x'.join(map(str, size.shape))} voxels, windows "
        f"{'x'.join(map(str, study.training.window))}, batch {study.training.batch_size}, blocks of "
        f"{size.epochs} epochs, one compute thread (ThreadDataLoader has one more for data)"
    )
    return (
        Comparison(
            measure="random windows as tensors, no network",
            unit="windows/s",
            better="higher",
            samples=drawn,
            note=f"{setting}; the difference between the loops lies here",
        ),
        Comparison(
            measure="training",
            unit="windows/s",
            better="higher",
            samples=trained,
            note=f"{setting}; the same U-Net {list(study.model.channels)}, loss, optimiser and schedule; "
            f"{_verdict(drawn, trained)}",
        ),
    )


def _verdict(drawn: Mapping[str, tuple[float, ...]], trained: Mapping[str, tuple[float, ...]]) -> str:
    """Say how much of each loop's training time its windows alone would take."""
    shares = {name: median(trained[name]) / median(drawn[name]) for name in trained}
    told = ", ".join(f"{share:.1%} of {name}" for name, share in shares.items())
    if max(shares.values()) < NEGLIGIBLE:
        return f"the network dominates every loop; drawing windows alone would take {told}"
    return f"drawing windows alone would take {told}; the rest is the network and the loop around it"


def _rates(ways: Mapping[str, Callable[[], object]], size: Size) -> dict[str, tuple[float, ...]]:
    windows = size.cases * size.epochs
    return {
        name: tuple(windows / s for s in values) for name, values in interleaved(ways, size.repeats).items()
    }


def _draw(cases: list[Case], study: Study, epochs: int) -> None:
    rng, source = generator(SEED, "benchmark"), WindowSource(cases)
    for _ in range(epochs):
        for batch in epoch(source, training=study.training, dimensions=study.model.dimensions, rng=rng):
            tensors(batch, "cpu")


def _draw_from(loader: DataLoader, epochs: int) -> None:
    for _ in range(epochs):
        for batch in loader:
            batch["image"], batch["label"]


def _train(cases: list[Case], study: Study, weights: Weights, epochs: int) -> None:
    train(weights, cases, study, epochs=epochs, span=Span(), rng=generator(SEED, "benchmark"))
