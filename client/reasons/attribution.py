"""Which voxels speak for a finding: integrated gradients of its log-odds.

M. Sundararajan, A. Taly, Q. Yan, "Axiomatic attribution for deep networks", ICML 2017, equation 1:

    attribution_i = (x_i - b_i) * integral over a in 0..1 of dF(b + a (x - b)) / dx_i

F is the log-odds of a finding against all else, averaged over the finding's voxels. The baseline b is the
scan blurred so far that the finding is gone and the body is not. (A black or constant baseline would be none
here: instance norm undoes the fading, so that F jumps at its very end.) The attributions add up to
F(x) - F(b), "completeness"; how far they miss it tells whether the integral was taken finely enough.

Of the ways that suggest themselves, MONAI's occlusion sensitivity asks a network that classifies and needs
hundreds of passes for a map in coarse blocks; Captum would be a dependency for thirty lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import nn

from client.data.volumes import Affine
from shared.study import Study

STEPS = (8, 16, 32)  # points of the integral; more are taken while the sum is off
CLOSE = 0.05  # share of F(x) - F(b), but at least of 1, by which the sum may be off: the paper's own bound
MOST_SIDE = 48  # voxels: it bounds time and memory, whatever the scan and the window of the study
FADED = 2.0  # the blur's standard deviation, in radii of the finding: 3 % of a ball is left at its centre

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each voxel adds to a finding's log-odds.

    values : (X, Y, Z) float32, log-odds, summed over channels; 0 outside `box`
    box : the window around the finding that was looked at
    difference : F(x) - F(b), what the scan adds over the blurred scan
    gap : sum of `values` less `difference`; 0 were the integral exact
    """

    values: npt.NDArray[np.float32]
    box: Box
    difference: float
    gap: float

    def within(self, affine: Affine) -> tuple[npt.NDArray[np.float32], Affine]:
        """Return the values inside `box` and the affine of that window; `affine` (4, 4) is of the whole."""
        move = np.eye(4)
        move[:3, 3] = [side.start for side in self.box]
        return np.ascontiguousarray(self.values[self.box]), affine @ move

    @property
    def text(self) -> str:
        """In words, for the page."""
        return (
            f"The attribution adds up to {self.difference + self.gap:+z.2f}. By {self.difference:+z.2f} the "
            "finding's log-odds rise over those in the same scan, blurred until the finding is gone."
        )


def attribution(
    net: nn.Module, image: np.ndarray, finding: npt.NDArray[np.bool_], study: Study
) -> Attribution | None:
    """Attribute one finding to the voxels around it; None for a finding without a voxel.

    Parameters
    ----------
    net : network in evaluation mode
    image : (C, X, Y, Z) float32, prepared, as `client.inference.probabilities` takes it
    finding : (X, Y, Z), its voxels; a 2-D network is asked about the slice that holds most of them
    """
    if not finding.any():
        return None
    box = _box(finding, study)
    part, inside = np.array(image[(slice(None), *box)], dtype=np.float32), finding[box]
    radius = max(1.0, (0.75 * np.count_nonzero(inside) / np.pi) ** (1 / 3))
    sigma = [0.0, *(FADED * radius if side > 1 else 0.0 for side in inside.shape)]
    blurred = ndimage.gaussian_filter(part, sigma, mode="nearest", truncate=3.0)
    score = _Score(net, inside, study)
    baseline, target = score.tensor(blurred), score.tensor(part)
    difference = score.of(target) - score.of(baseline)
    for steps in STEPS:
        values = _integral(score, baseline, target, steps)
        gap = float(values.sum(dtype=np.float64)) - difference
        if abs(gap) <= CLOSE * max(abs(difference), 1.0):
            break
    whole = np.zeros(finding.shape, np.float32)
    whole[box] = values
    return Attribution(whole, box, difference, gap)


class _Score:
    """F: the log-odds of a finding, averaged over the finding's voxels `inside` a window."""

    def __init__(self, net: nn.Module, inside: npt.NDArray[np.bool_], study: Study) -> None:
        self._net = net
        self._device = next(net.parameters()).device
        self._flat = study.model.dimensions == 2
        self._inside = torch.from_numpy(inside[..., 0] if self._flat else inside).to(self._device)
        finding = [1 + study.task.classes.index(name) for name in study.task.finding_classes]
        self._finding = finding
        self._rest = [index for index in range(1 + len(study.task.classes)) if index not in finding]

    def tensor(self, part: np.ndarray) -> torch.Tensor:
        """(C, X, Y, Z) as the batch of one that the network takes."""
        return torch.from_numpy(part[..., 0] if self._flat else part)[None].to(self._device)

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        logits = self._net(batch)[0]
        log_odds = logits[self._finding].logsumexp(0) - logits[self._rest].logsumexp(0)
        mean: torch.Tensor = log_odds[self._inside].mean()
        return mean

    @torch.no_grad()
    def of(self, batch: torch.Tensor) -> float:
        """F as a number."""
        return float(self(batch))


def _integral(
    score: _Score, baseline: torch.Tensor, target: torch.Tensor, steps: int
) -> npt.NDArray[np.float32]:
    """Integrate by Gauss and Legendre's rule; (X, Y, Z). One pass is in memory at a time."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    total = torch.zeros_like(target)
    for point, weight in zip(((points + 1) / 2).tolist(), (weights / 2).tolist(), strict=True):
        between = (baseline + point * (target - baseline)).requires_grad_()
        (gradient,) = torch.autograd.grad(score(between), between)
        total += weight * gradient
    values = ((target - baseline) * total)[0].sum(dim=0).cpu().numpy()
    return values if values.ndim == 3 else values[..., None]


def _box(finding: npt.NDArray[np.bool_], study: Study) -> Box:
    """Find the window: as large as those the network was trained on, MOST_SIDE at most, the finding amid."""
    shape: Sequence[int] = finding.shape
    middle = [int(np.median(found)) for found in np.nonzero(finding)]
    sides = [min(*pair, MOST_SIDE) for pair in zip(shape, study.training.window, strict=True)]
    along = 2 if study.model.dimensions == 2 else 3
    stride = study.model.stride
    sides[:along] = [max(side // stride, 1) * stride for side in sides[:along]]
    if study.model.dimensions == 2:
        middle[2], sides[2] = int(np.count_nonzero(finding, axis=(0, 1)).argmax()), 1
    starts = [
        int(np.clip(centre - side // 2, 0, max(whole - side, 0)))
        for centre, side, whole in zip(middle, sides, shape, strict=True)
    ]
    x, y, z = (slice(start, start + side) for start, side in zip(starts, sides, strict=True))
    return x, y, z
