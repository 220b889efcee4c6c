"""Whether a site's recent scores still look like those that the calibration was made on.

Two histograms of calibrated log-odds are compared in ten classes. How far they are apart is told by the
population stability index (Siddiqi, "Credit Risk Scorecards", 2006), whether that is more than chance by a
permutation test of the same index: given both together, which scans are the recent ones is a draw without
replacement. Such a test needs no large counts, unlike chi-squared, and sees any change, a spread as well as
a shift, unlike a comparison of means. Classes are tenths of both histograms together, so that they do not
depend on which scans are recent either; with that the p-value is exact, but for the number of draws, which
Phipson & Smyth (Stat. Appl. Genet. Mol. Biol. 9:39, 2010) allow for by counting the draw that was seen.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit

from shared.score_bins import EDGES
from shared.sums import FloatArray, IntArray

CLASSES = 10
DRAWS = 9999
FEWEST_SCANS = 30
NOTABLE_INDEX = 0.1
"""Below it a difference is usually called none, between it and 0.25 moderate, above large (Siddiqi 2006)."""
UNLIKELY = 0.01


@dataclass(frozen=True)
class Drift:
    """What was found: `index` and `p_value` are None where there are too few scans to tell."""

    state: Literal["too few to tell", "none seen", "drift"]
    text: str
    recent: int
    reference: int
    index: float | None = None
    p_value: float | None = None


def drift(reference: IntArray, recent: IntArray, rng: np.random.Generator) -> Drift:
    """Compare a histogram (BINS,) of recent scores with one of reference.

    Drift is reported where the index is at least NOTABLE_INDEX and the p-value below UNLIKELY: neither a
    large difference among few scans nor a tiny one among many is worth a warning. Who looks every day at
    unchanged scores is warned by chance now and then; looking once for each new FEWEST_SCANS scans keeps
    that rare.
    """
    n, m = int(recent.sum()), int(reference.sum())
    if min(n, m) < FEWEST_SCANS:
        fewer = "recent" if n < FEWEST_SCANS else "reference"
        return Drift(
            "too few to tell",
            f"Too few to tell: {min(n, m) if fewer == 'reference' else n} {fewer} scans, at least "
            f"{FEWEST_SCANS} are needed.",
            n,
            m,
        )
    new, both = _classes(recent, reference + recent)
    index = float(_index(both - new, new[None])[0])
    drawn = rng.multivariate_hypergeometric(both, n, size=DRAWS)
    as_far = int(np.sum(_index(both - drawn, drawn) >= index * (1 - 1e-12)))
    p_value = (as_far + 1) / (DRAWS + 1)
    seen = index >= NOTABLE_INDEX and p_value < UNLIKELY
    figures = f"stability index {index:.2f}, p = {p_value:.2g}, {n} recent and {m} reference scans"
    if not seen:
        return Drift("none seen", f"No drift seen: {figures}.", n, m, index, p_value)
    text = (
        f"Recent scores differ from those the calibration was made on: {_how(reference, recent)} "
        f"({figures}). Probabilities and tiers may no longer hold. Look for a new scanner, protocol or kind "
        "of patient, then ask the coordinator for a new calibration."
    )
    return Drift("drift", text, n, m, index, p_value)


def _classes(recent: IntArray, both: IntArray) -> tuple[IntArray, IntArray]:
    """Sum bins to at most CLASSES classes of about as many scans of both each."""
    upto = np.cumsum(both)
    place = np.minimum((upto - both) * CLASSES // upto[-1], CLASSES - 1)
    place = np.unique(place, return_inverse=True)[1]
    size = int(place.max()) + 1
    return tuple(np.bincount(place, weights=c, minlength=size).astype(np.int64) for c in (recent, both))  # type: ignore[return-value]


def _index(reference: IntArray, recent: IntArray) -> FloatArray:
    """Return the population stability index of each row (..., classes).

    Half a scan more in each class, so that none is 0.
    """
    shares = []
    for counts in (reference, recent):
        kept = counts + 0.5
        shares.append(kept / kept.sum(axis=-1, keepdims=True))
    before, now = shares
    return np.asarray(np.sum((now - before) * np.log(now / before), axis=-1))


def _how(reference: IntArray, recent: IntArray) -> str:
    """Name the edge at which the shares above it differ most, as a probability."""
    above = [1 - np.cumsum(c)[:-1] / c.sum() for c in (reference, recent)]
    most = int(np.argmax(np.abs(above[1] - above[0])))
    before, now = (float(share[most]) for share in above)
    return f"{now:.0%} score above {expit(EDGES[most]):.2g}, {before:.0%} did"
