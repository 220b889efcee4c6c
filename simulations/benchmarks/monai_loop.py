"""The loop that MONAI's tutorials write for the same task: dictionary transforms, CacheDataset, a loader.

`plain_loader` follows the 3-D segmentation tutorials (spleen_segmentation_3d), `tuned_loader` also does what
MONAI's guide to fast training advises on a CPU (fast_training_tutorial, both in Project-MONAI/tutorials):
foreground indices computed once, no metadata on the random part, ThreadDataLoader.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset, DataLoader, PersistentDataset, ThreadDataLoader
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    EnsureTyped,
    FgBgToIndicesd,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    RandCropByPosNegLabeld,
    Spacingd,
)

from client.training import loss_function
from shared.model import build, set_weights
from shared.study import Study

KEYS = ("image", "label")
Files = Sequence[Mapping[str, Path]]
"""Paths of `image` and `label` of each case."""


def plain_loader(files: Files, study: Study, *, seed: int) -> DataLoader:
    """Fill a CacheDataset and put a DataLoader without worker processes before it."""
    steps = [*deterministic(study), _crop(study)]
    return DataLoader(_cached(files, steps, seed), **_order(study, seed))


def tuned_loader(files: Files, study: Study, *, seed: int) -> ThreadDataLoader:
    """Keep indices and plain tensors in the CacheDataset; a thread prepares the next batch."""
    steps = [
        *deterministic(study),
        FgBgToIndicesd("label"),
        EnsureTyped(KEYS, track_meta=False),
        _crop(study, fg_indices_key="label_fg_indices", bg_indices_key="label_bg_indices"),
    ]
    return ThreadDataLoader(_cached(files, steps, seed), **_order(study, seed))


def persistent_loader(files: Files, study: Study, *, folder: str, seed: int) -> DataLoader:
    """Keep every prepared case in a file of its own in `folder`, and read it whole for each window."""
    transform = Compose([*deterministic(study), EnsureTyped(KEYS, track_meta=False), _crop(study)])
    transform.set_random_state(seed)
    cases = [{k: str(p) for k, p in case.items()} for case in files]
    return DataLoader(PersistentDataset(cases, transform, cache_dir=folder), **_order(study, seed))


def cached(files: Files, study: Study, *, workers: int) -> CacheDataset:
    """Prepare every case into memory, `workers` at a time."""
    return _cached(files, deterministic(study), seed=0, workers=workers)


def fill(files: Files, study: Study, folder: Path) -> None:
    """Prepare every case into a PersistentDataset's folder."""
    steps = Compose([*deterministic(study), EnsureTyped(KEYS, track_meta=False)])
    cases = [{k: str(p) for k, p in case.items()} for case in files]
    found = PersistentDataset(cases, steps, cache_dir=folder)
    for number in range(len(found)):
        found[number]


def train(weights: Mapping[str, np.ndarray], loader: DataLoader, study: Study, *, epochs: int) -> float:
    """Train as `client.training.train` does, from the same weights with the same loss; the mean loss."""
    net = build(study)
    set_weights(net, weights)
    net.train()
    settings = study.training
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=epochs * len(loader), cycle_momentum=False
    )
    criterion = loss_function(study)
    losses: list[float] = []
    for _ in range(epochs):
        for batch in loader:
            optimiser.zero_grad()
            loss = criterion(net(batch["image"]), batch["label"])
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
    return float(np.mean(losses))


def deterministic(study: Study) -> list[Any]:
    """List the steps from file names to a scan on the common grid."""
    return [
        LoadImaged(KEYS),
        EnsureChannelFirstd(KEYS),
        Orientationd(KEYS, axcodes="RAS", labels=None),
        Spacingd(KEYS, pixdim=study.preprocessing.spacing_mm, mode=("bilinear", "nearest")),
        NormalizeIntensityd("image", nonzero=True),
    ]


def _crop(study: Study, **indices: str) -> RandCropByPosNegLabeld:
    share = study.training.tumour_fraction
    return RandCropByPosNegLabeld(
        KEYS, "label", spatial_size=study.training.window, pos=share, neg=1 - share, num_samples=1, **indices
    )


def _cached(files: Files, steps: Sequence[Any], seed: int, workers: int = 1) -> CacheDataset:
    transform = Compose(steps)
    transform.set_random_state(seed)
    cases = [{k: str(p) for k, p in case.items()} for case in files]
    return CacheDataset(cases, transform, num_workers=workers, progress=False)


def _order(study: Study, seed: int) -> dict[str, Any]:
    return {
        "batch_size": study.training.batch_size,
        "shuffle": True,
        "num_workers": 0,
        "generator": torch.Generator().manual_seed(seed),
    }
