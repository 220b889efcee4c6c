"""Differentially private training with the patient as the unit.

What holds here, and is tested:
- a patient takes part in a step by an independent coin (Poisson sampling); an empty step still adds noise;
- one patient's whole contribution to a step is one gradient of L2 norm at most `clip`, however many scans
  the patient has: the mean over one window of each scan, clipped after averaging;
- the noise has standard deviation noise_multiplier * clip on the sum, and the sum is divided by the expected
  number of patients, never by the drawn one.

Abadi et al., "Deep Learning with Differential Privacy" (arXiv 1607.00133), Algorithm 1. One patient at a
time, one backward pass each: the plainest form there is, exact for every layer. Opacus does the accounting
(client/ledger.py); its hooks are not used, since they have none for transposed convolutions.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from client.data.windows import WindowSource, epoch
from client.ledger import PrivateRound
from client.training import Case, Span, Trained, loss_function, one_cycle, tensors
from shared.errors import ConfigError
from shared.model import build, get_weights, set_weights
from shared.study import Study

Gradients = dict[str, torch.Tensor]


def train_privately(
    weights: Mapping[str, np.ndarray],
    patients: Sequence[Sequence[Case]],
    study: Study,
    *,
    span: Span,
    release: PrivateRound,
) -> Trained:
    """Train for one round; `patients` lists each patient's cases."""
    if study.privacy is None:
        raise ConfigError("private training needs a privacy section in the study.")
    net = build(study)
    set_weights(net, weights)
    criterion = loss_function(study)
    settings = study.training
    clip = study.privacy.clip
    rng = release.generator()
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    expected = release.sample_rate * len(patients)
    losses: list[float] = []
    for step in range(release.steps):
        progress = span.start + (span.end - span.start) * step / release.steps
        for group in optimiser.param_groups:
            group["lr"] = one_cycle(progress, settings.learning_rate)
        drawn = np.flatnonzero(rng.random(len(patients)) < release.sample_rate)
        total = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
        for index in drawn:
            image, label = one_window_each(patients[index], study, rng)
            gradient, loss = patient_gradient(net, criterion, image, label)
            add_clipped(total, gradient, clip)
            losses.append(loss)
        for name, parameter in net.named_parameters():
            noise = rng.standard_normal(tuple(parameter.shape), dtype=np.float32)
            scale = release.noise_multiplier * clip
            parameter.grad = (total[name] + scale * torch.from_numpy(noise)) / expected
        optimiser.step()
    return Trained(get_weights(net), float(np.mean(losses)) if losses else 0.0)


def one_window_each(
    cases: Sequence[Case], study: Study, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """One fresh window of every scan of one patient: image (K, C, *window), label (K, 1, *window)."""
    source = WindowSource(cases, points=study.task.truth == "points")
    batches = list(epoch(source, training=study.training, dimensions=study.model.dimensions, rng=rng))
    parts = [tensors(batch, "cpu") for batch in batches]
    return torch.cat([image for image, _ in parts]), torch.cat([label for _, label in parts])


def patient_gradient(
    net: nn.Module, criterion: nn.Module, image: torch.Tensor, label: torch.Tensor
) -> tuple[Gradients, float]:
    """Mean gradient and loss over one patient's K windows, image (K, C, *window), label (K, 1, *window)."""
    names, parameters = zip(*net.named_parameters(), strict=True)
    loss = criterion(net(image), label)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True)), loss.item()


def add_clipped(total: Gradients, gradient: Gradients, clip: float) -> None:
    """Add `gradient`, scaled to L2 norm at most `clip`, to `total`; a non-finite gradient adds nothing.

    min(1, clip / NaN) would let a NaN through with scale 1.
    """
    norm = torch.sqrt(sum((g.square().sum() for g in gradient.values()), torch.zeros(())))
    if not torch.isfinite(norm):
        return
    scale = min(1.0, clip / max(float(norm), 1e-12))
    for name, part in gradient.items():
        total[name].add_(part, alpha=scale)
