"""How far probabilities can be believed: reliability diagram, ECE, Brier and log loss from sums per bin."""

from typing import Any

import numpy as np
import numpy.typing as npt

from shared.errors import DataError
from shared.sums import FloatArray, Sums, bin_index

CLIP = 1e-12  # log loss: one certain and wrong prediction costs 27.6 instead of infinity


def reliability_sums(probability: FloatArray, outcome: npt.NDArray[Any], *, bins: int) -> Sums:
    """Sum over patients what tells about predicted `probability` (n,) in 0..1 and 0/1 `outcome` (n,).

    Equal-width bins; p = 1 lies in the last. The log loss clips probabilities to 1e-12 .. 1 - 1e-12.

    Raises
    ------
    DataError
        Shapes differ, a probability is outside 0..1, or an outcome is neither 0 nor 1.
    """
    p, y = np.asarray(probability, dtype=np.float64), binary(outcome)
    if p.shape != y.shape or p.ndim != 1:
        raise DataError(f"probability and outcome must have one shape (n,), found {p.shape} and {y.shape}")
    index = bin_index(p, bins=bins)
    of_outcome = np.clip(np.where(y == 1, p, 1 - p), CLIP, 1 - CLIP)
    return Sums(
        {
            "patients": np.bincount(index, minlength=bins),
            "probability_sum": np.bincount(index, weights=p, minlength=bins),
            "outcome_sum": np.bincount(index[y == 1], minlength=bins),
            "brier_sum": np.asarray(np.sum((p - y) ** 2)),
            "log_loss_sum": np.asarray(-np.sum(np.log(of_outcome))),
        }
    )


def reliability_shapes(bins: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of `reliability_sums`; `patients` and `outcome_sum` are int64 counts."""
    per_bin = dict.fromkeys(("patients", "probability_sum", "outcome_sum"), (bins,))
    return {**per_bin, "brier_sum": (), "log_loss_sum": ()}


def finish_reliability(sums: Sums) -> dict[str, Any]:
    """JSON-ready figures; empty bins and figures of no patients at all are None.

    `ece` is the mean over patients of |mean probability - observed frequency| of their bin (Naeini 2015),
    `mce` the largest such gap, `brier` and `log_loss` means over patients.
    """
    counts, predicted, observed = sums["patients"], sums["probability_sum"], sums["outcome_sum"]
    bins, n = len(counts), int(counts.sum())
    occupied = counts > 0
    gaps = np.abs(predicted - observed)

    def mean(total: Any) -> float | None:
        return float(total) / n if n else None

    return {
        "n": n,
        "ece": mean(gaps.sum()),
        "mce": float(np.max(gaps[occupied] / counts[occupied])) if n else None,
        "brier": mean(sums["brier_sum"]),
        "log_loss": mean(sums["log_loss_sum"]),
        "prevalence": mean(observed.sum()),
        "mean_probability": mean(predicted.sum()),
        "bins": [
            {
                "lower": k / bins,
                "upper": (k + 1) / bins,
                "n": int(counts[k]),
                "mean_probability": float(predicted[k] / counts[k]) if occupied[k] else None,
                "observed": float(observed[k] / counts[k]) if occupied[k] else None,
            }
            for k in range(bins)
        ],
    }


def brier_decomposition(sums: Sums) -> dict[str, float] | None:
    """Split the Brier score of `reliability_sums`; None without patients.

    brier = reliability - resolution + uncertainty + within_bins, exactly. The first three are Murphy's
    (J. Appl. Meteorol. 12:595-600, 1973), with each bin's mean probability: how far bins are from their
    observed frequency (0 is ideal), how far frequencies of bins lie apart (more is better), and what the
    frequency of urgent patients leaves no score a choice about. They add up alone only if all patients of
    a bin have one probability; what they miss otherwise is `within_bins` (Stephenson, Coelho & Jolliffe,
    Weather Forecast. 23:752-757, 2008), negative where the order within bins is informative.
    """
    counts = sums["patients"]
    n = int(counts.sum())
    if n == 0:
        return None
    share, some = counts / n, np.maximum(counts, 1)
    predicted, observed = sums["probability_sum"] / some, sums["outcome_sum"] / some
    prevalence = float(sums["outcome_sum"].sum()) / n
    brier = float(sums["brier_sum"]) / n
    reliability = float(share @ (predicted - observed) ** 2)
    resolution = float(share @ (observed - prevalence) ** 2)
    uncertainty = prevalence * (1 - prevalence)
    return {
        "brier": brier,
        "reliability": reliability,
        "resolution": resolution,
        "uncertainty": uncertainty,
        "within_bins": brier - (reliability - resolution + uncertainty),
    }


def binary(outcome: npt.NDArray[Any]) -> FloatArray:
    """Outcomes as float64; raises DataError unless each is 0 or 1."""
    y = np.asarray(outcome, dtype=np.float64)
    if not np.all((y == 0) | (y == 1)):
        wrong = y[(y != 0) & (y != 1)].flat[0]
        raise DataError(
            f"outcomes must be 0 or 1, found {wrong}. Leave out patients whose outcome is unknown."
        )
    return y
