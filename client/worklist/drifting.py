"""Whether the scores of this site's newest scans still look like those that the calibration was made on."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from client.worklist.listing import Listing
from client.worklist.model_in_use import ModelInUse
from shared.drift import drift
from shared.randomness import generator
from shared.score_bins import histogram
from shared.sums import FloatArray

NEWEST = 200

Compare = Callable[[Sequence[int], FloatArray], dict[str, Any]]
"""(reference counts, log-odds (n,)) -> state (too few to tell, none seen, drift), text and figures."""


def by_histogram(reference: Sequence[int], log_odds: FloatArray) -> dict[str, Any]:
    """Compare as `shared.drift.drift` does, by draws that are the same every time."""
    return asdict(drift(np.array(reference), histogram(log_odds), generator(0, "drift")))


def drift_seen(
    worklist: Listing, model: ModelInUse | None, compare: Compare = by_histogram
) -> dict[str, Any] | None:
    """Compare the newest scans under the calibration in use with its reference; None where it kept none."""
    if model is None or model.priority is None or (reference := model.priority.reference) is None:
        return None
    return compare(reference, worklist.recent_scores(NEWEST, calibration_digest=model.calibration_digest))
