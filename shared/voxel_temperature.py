"""A temperature for the segmentation's own probabilities, fitted to counts of voxels.

The probability p that a voxel belongs to a finding becomes sigmoid(logit(p) / T): Guo et al., "On Calibration
of Modern Neural Networks", ICML 2017, for the question "finding or not", which is what a probability map
shows. It changes how sure the network says it is, never on which side of 0.5 a voxel lies.

A site counts its voxels by log-odds and truth in bins that are the same for all, so that one answer serves
every T. Voxels of one patient resemble each other and a large scan has more of them: each patient counts
`WHOLE`, whatever the number of his or her voxels and scans. What bins can have cost is bounded (`fit`).
"""

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.optimize import brentq
from scipy.special import expit, lambertw

from shared.config import Config
from shared.errors import CaseError, FederationError
from shared.histograms import WHOLE, apportioned
from shared.newton import fit_newton
from shared.reliability import CLIP
from shared.sums import FloatArray, IntArray, Sums, bin_index

LARGEST = 16.0
"""Log-odds beyond are taken for it, when counted and when used: float32 knows no 1 - p below 6e-8."""

EDGES: FloatArray = np.arange(-8 * LARGEST, 8 * LARGEST + 1) / 8
"""(257,): bin k holds EDGES[k] <= log-odds < EDGES[k + 1], the last also its end; 0 is an edge."""
EDGES.setflags(write=False)

BINS = len(EDGES) - 1
MIDDLES: FloatArray = (EDGES[:-1] + EDGES[1:]) / 2
AT_ONCE = 2**20
"""Voxels that are worked on at once, so that a large scan needs little further memory."""

ECE_BINS = 10
LEAST_A, MOST_A = 1e-3, 1e3  # where bounds of a = 1/T are looked for
TURN = 1 + float(lambertw(np.exp(-1)).real)  # v sigmoid(v) = 1: there -u sigmoid(-a u) is lowest, v = a u

Positive = Annotated[float, Field(gt=0)]


class VoxelTemperature(Config):
    """The temperature that is kept beside a model. Bins leave open where in low..high the exact one is."""

    temperature: Positive = Field(description="above 1 the network was surer than it was right")
    low: Positive | None = Field(default=None, description="None: the bins set no bound")
    high: Positive | None = None
    patients: int = Field(ge=1, description="patients of all sites that the fit saw")
    study: str = Field(description="digest of the study it was fitted under")

    def of(self, probability: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Probabilities of a finding, of any shape and in 0..1, as they are after calibration."""
        flat = np.ravel(probability)
        result = np.empty(flat.size, np.float32)
        for start in range(0, flat.size, AT_ONCE):
            some = slice(start, start + AT_ONCE)
            result[some] = expit(log_odds(flat[some]) / self.temperature)
        return result.reshape(probability.shape)


def log_odds(probability: npt.NDArray[np.floating]) -> FloatArray:
    """Within -LARGEST..LARGEST, of probabilities that may pass 0 and 1 by a rounding."""
    p = np.clip(probability.astype(np.float64), expit(-LARGEST), expit(LARGEST))
    return np.asarray(np.clip(np.log(p) - np.log1p(-p), -LARGEST, LARGEST))


def count_voxels(
    probability: npt.NDArray[np.floating],
    label: npt.NDArray[np.integer],
    *,
    finding: Iterable[int],
    classes: int,
) -> IntArray:
    """Count one scan's voxels (2, BINS): row 0 those of no finding, row 1 those of one.

    Parameters
    ----------
    probability
        (X, Y, Z), of the finding classes together.
    label
        (X, Y, Z), 0..classes; other values, such as unlabelled voxels, are left out.
    finding
        Labels of the finding classes.

    Raises
    ------
    CaseError
        ``shape``: label and probability are of different grids.
    """
    if probability.shape != label.shape:
        raise CaseError(
            "shape", f"label {label.shape} is not on the grid of the probability {probability.shape}."
        )
    p, y, chosen = np.ravel(probability), np.ravel(label), list(finding)
    total = np.zeros((2, BINS), np.int64)
    for start in range(0, y.size, AT_ONCE):
        some = slice(start, start + AT_ONCE)
        known = (y[some] >= 0) & (y[some] <= classes)
        place = np.searchsorted(EDGES[1:-1], log_odds(p[some][known]), side="right")
        truth = np.isin(y[some][known], chosen)
        total += np.bincount(place + BINS * truth, minlength=2 * BINS).reshape(2, BINS)
    return total


def voxel_sums(patients: Iterable[IntArray]) -> Sums:
    """Sum over patients' counts (2, BINS): ``other`` and ``finding`` (BINS,), int64, `WHOLE` a patient."""
    total = np.zeros((2, BINS), np.int64)
    for counts in patients:
        total += apportioned(counts.ravel()).reshape(2, BINS)
    return Sums({"other": total[0], "finding": total[1]})


def voxel_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of `voxel_sums`; int64 counts."""
    return {"other": (BINS,), "finding": (BINS,)}


def patients_of(sums: Sums) -> int:
    """How many patients have given counts."""
    return (int(sums["other"].sum()) + int(sums["finding"].sum())) // WHOLE


def fit(sums: Sums, *, study: str) -> VoxelTemperature:
    """Fit T to the total of all sites' `voxel_sums` by the middles of the bins; `study` is a digest.

    With a = 1/T, the loss's slope in a is a sum over voxels, each at least the smallest and at most the
    largest within its bin. Where these two sums change sign lies the exact fit to the voxels: `low`..`high`.

    Raises
    ------
    FederationError
        No patients, no finite optimum, or one at which the network had better say the opposite (a <= 0).
    """
    weights = _weights(sums)
    margin = np.stack([-MIDDLES, MIDDLES])

    def gather(a: FloatArray) -> Sums:
        wrong = expit(-a * margin)
        return Sums(
            {
                "patients": np.array(patients_of(sums)),
                "loss": np.sum(weights * np.logaddexp(0, -a * margin)),
                "gradient": np.array([-np.sum(weights * margin * wrong)]),
                "hessian": np.array([[np.sum(weights * margin**2 * wrong * (1 - wrong))]]),
            }
        )

    found = fit_newton(gather, names=["a"], penalised=np.array([False]), ridge=0.0, max_steps=50)
    a = float(found.coefficients[0])
    if not found.converged or a <= 0:
        raise FederationError(
            f"found no temperature (a = {a:.3g}, converged {found.converged}), expected a finite a > 0. "
            "Check that the network segments better than chance before calibrating it."
        )
    smallest, largest = _root(lambda a: _slope(weights, a)[1]), _root(lambda a: _slope(weights, a)[0])
    return VoxelTemperature(
        temperature=1 / a,
        low=None if largest is None else 1 / largest,
        high=None if smallest is None else 1 / smallest,
        patients=patients_of(sums),
        study=study,
    )


def judge(sums: Sums, temperature: float = 1.0) -> dict[str, Any]:
    """JSON-ready figures of `voxel_sums` at a temperature, by the middles of the bins; None of no voxels.

    A share of voxels is a mean over patients, each of the same weight. `ece` is over ten bins of equal
    width, `log_loss` in nats a voxel. `called` is the share of voxels above 0.5: what the network calls a
    finding, with the mean probability there, the share that truly is one and the log loss.
    """
    other, finding = (sums[name].astype(np.float64) for name in ("other", "finding"))  # adds up exactly
    both = other + finding
    n = float(both.sum())
    p = expit(MIDDLES / temperature)
    index = bin_index(p, bins=ECE_BINS)
    gaps = np.abs(np.bincount(index, weights=both * p - finding, minlength=ECE_BINS))
    losses = -finding * np.log(np.maximum(p, CLIP)) - other * np.log(np.maximum(1 - p, CLIP))
    called = MIDDLES > 0
    share = float(both[called].sum())

    def mean(total: float, of: float) -> float | None:
        return float(total) / of if of > 0 else None

    return {
        "patients": patients_of(sums),
        "ece": mean(gaps.sum(), n),
        "log_loss": mean(losses.sum(), n),
        "called": mean(share, n),
        "called_probability": mean(both[called] @ p[called], share),
        "called_observed": mean(finding[called].sum(), share),
        "called_log_loss": mean(losses[called].sum(), share),
    }


def worsens_findings(sums: Sums, temperature: float) -> bool:
    """Whether a temperature raises the log loss of what the network calls a finding.

    Background is nearly all that a scan holds. Where the network is too timid there and too sure of its
    findings, the one number that serves all voxels best makes findings surer still.
    """
    before, after = (judge(sums, at)["called_log_loss"] for at in (1.0, temperature))
    return before is not None and after > before


def _weights(sums: Sums) -> FloatArray:
    """(2, BINS): patients' shares of voxels, no finding first."""
    return np.stack([sums["other"], sums["finding"]]) / WHOLE


def _slope(weights: FloatArray, a: float) -> tuple[float, float]:
    """Bounds of the loss's slope at a: the lowest and the highest that voxels of these bins can have."""
    ends = np.stack(
        [np.stack([-EDGES[1:], -EDGES[:-1]], axis=-1), np.stack([EDGES[:-1], EDGES[1:]], axis=-1)]
    )
    slopes = -ends * expit(-a * ends)
    turns = (ends[..., 0] < TURN / a) & (ends[..., 1] > TURN / a)
    lowest = np.where(turns, (1 - TURN) / a, slopes.min(axis=-1))
    return float(np.sum(weights * lowest)), float(np.sum(weights * slopes.max(axis=-1)))


def _root(rising: Callable[[float], float]) -> float | None:
    if rising(LEAST_A) >= 0 or rising(MOST_A) <= 0:
        return None
    return float(brentq(rising, LEAST_A, MOST_A))
