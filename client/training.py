"""Local training: the same loop for a federated round, a site alone, pooled data and pre-training."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.losses import DiceCELoss, DiceLoss
from torch import nn

from client.data.windows import Batch, WindowSource, epoch
from shared.model import Weights, build, get_weights, set_weights
from shared.study import Study
from shared.unlabelled import UNLABELLED

WARM_UP_FRACTION = 0.3
START_DIVISOR = 25.0
END_DIVISOR = 1e4

Case = tuple[np.ndarray, np.ndarray]
"""Image (C, X, Y, Z) float32 and label (X, Y, Z) uint8 class indices or UNLABELLED."""


@dataclass(frozen=True)
class Span:
    """The part of a whole run's training, 0..1, that one call covers; it places the learning rate."""

    start: float = 0.0
    end: float = 1.0

    @classmethod
    def of_round(cls, round_number: int, rounds: int) -> "Span":
        """Round numbers start at 1."""
        return cls((round_number - 1) / rounds, round_number / rounds)


@dataclass(frozen=True)
class Trained:
    """Weights after training and the mean loss over all windows seen."""

    weights: Weights
    loss: float


def one_cycle(progress: float, peak: float) -> float:
    """Learning rate at `progress` 0..1 of the run: cosine up to `peak`, then cosine down.

    Smith and Topin, "Super-Convergence" (arXiv 1708.07120), in the two-phase cosine form of PyTorch's
    OneCycleLR with its default divisors.
    """
    low, final = peak / START_DIVISOR, peak / START_DIVISOR / END_DIVISOR
    if progress < WARM_UP_FRACTION:
        begin, end, share = low, peak, progress / WARM_UP_FRACTION
    else:
        begin, end, share = peak, final, (progress - WARM_UP_FRACTION) / (1 - WARM_UP_FRACTION)
    return end + (begin - end) / 2 * (1 + math.cos(math.pi * share))


class LabelledDiceCELoss(nn.Module):
    """Dice + cross entropy over the labelled voxels of each volume, averaged over the volumes of a batch.

    Cross entropy is averaged volume by volume: PyTorch's own mean is one over all labelled voxels of the
    batch, which couples its patients and is NaN without any. A volume without a labelled voxel counts 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dice = DiceLoss(to_onehot_y=True, softmax=True, batch=False, ignore_index=UNLABELLED)
        self.cross_entropy = nn.CrossEntropyLoss(reduction="none", ignore_index=UNLABELLED)

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Logits (B, 1 + classes, *spatial), classes or UNLABELLED (B, 1, *spatial) -> scalar."""
        surprise: torch.Tensor = self.cross_entropy(logits, label[:, 0].long())
        labelled = (label != UNLABELLED).flatten(1).sum(dim=1).clamp(min=1)
        dice: torch.Tensor = self.dice(logits, label)
        return dice + (surprise.flatten(1).sum(dim=1) / labelled).mean()


def loss_function(study: Study) -> nn.Module:
    """Dice + cross entropy per volume: logits (B, 1 + classes, *spatial), classes (B, 1, *spatial) -> scalar.

    Where the study's truth is points, over its labelled voxels. Never batch Dice: it would couple the
    patients of a batch.
    """
    if study.task.truth == "points":
        return LabelledDiceCELoss()
    return DiceCELoss(to_onehot_y=True, softmax=True, batch=False)  # type: ignore[no-any-return]  # untyped


def add_proximal_gradient(net: nn.Module, reference: Sequence[torch.Tensor], mu: float) -> None:
    """Add mu * (w - w_round) to each gradient: the derivative of mu/2 * ||w - w_round||^2.

    Li et al., "Federated Optimization in Heterogeneous Networks" (arXiv 1812.06127), eq. 2. `reference` is
    held as a list: an exhausted generator would silently drop the term after the first step.
    """
    with torch.no_grad():
        for parameter, start in zip(net.parameters(), reference, strict=True):
            if parameter.grad is not None:
                parameter.grad.add_(parameter - start, alpha=mu)


def train(
    weights: Mapping[str, np.ndarray],
    cases: Sequence[Case],
    study: Study,
    *,
    epochs: int,
    span: Span,
    rng: np.random.Generator,
    device: str = "cpu",
) -> Trained:
    """Train from `weights` for `epochs` over `cases`; deterministic in its arguments and the thread count."""
    net = build(study).to(device)
    set_weights(net, weights)
    net.train()
    settings = study.training
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    mu = study.strategy.proximal_mu if study.strategy.name == "fedprox" else 0.0
    reference = [p.detach().clone() for p in net.parameters()] if mu else []
    criterion = loss_function(study)
    steps = epochs * math.ceil(len(cases) / settings.batch_size)
    losses: list[float] = []
    source = WindowSource(cases, points=study.task.truth == "points")
    for _ in range(epochs):
        for batch in epoch(source, training=settings, dimensions=study.model.dimensions, rng=rng):
            progress = span.start + (span.end - span.start) * len(losses) / steps
            for group in optimiser.param_groups:
                group["lr"] = one_cycle(progress, settings.learning_rate)
            image, label = tensors(batch, device)
            optimiser.zero_grad(set_to_none=True)
            loss = criterion(net(image), label)
            loss.backward()
            if mu:
                add_proximal_gradient(net, reference, mu)
            optimiser.step()
            losses.append(loss.item())
    return Trained(get_weights(net), float(np.mean(losses)))


def tensors(batch: Batch, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Image (B, C, *window) float32 and label (B, 1, *window) as tensors on `device`."""
    image = torch.from_numpy(np.ascontiguousarray(batch.image)).to(device)
    label = torch.from_numpy(np.ascontiguousarray(batch.label[:, None])).to(device)
    return image, label
