from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from client.worklist import ModelInUse, Worklist
from client.worklist.drifting import by_histogram, drift_seen
from shared.priority import CalibratedPriority
from shared.score_bins import BINS, histogram
from shared.sums import FloatArray
from tests.client.worklist.scans import result


@dataclass(frozen=True)
class WithReference:
    """As much of a calibration as the comparison asks for."""

    reference: tuple[int, ...] | None

    def digest(self) -> str:
        return "c"


def test_the_scores_of_the_calibration_in_use_are_compared_with_its_reference(worklist: Worklist) -> None:
    worklist.put(result("a", "stat"))
    worklist.put(result("b", "stat", calibration="another"))
    seen: list[tuple[Sequence[int], FloatArray]] = []

    def compare(reference: Sequence[int], recent: FloatArray) -> dict[str, Any]:
        seen.append((reference, recent))
        return {"state": "none seen", "text": "No drift seen."}

    def model(reference: tuple[int, ...] | None) -> ModelInUse:
        return ModelInUse("w", cast("CalibratedPriority", WithReference(reference)))

    assert drift_seen(worklist, model((1, 2)), compare) == {"state": "none seen", "text": "No drift seen."}
    ((reference, recent),) = seen
    assert reference == (1, 2)
    assert np.allclose(recent, [np.log(9)])
    assert drift_seen(worklist, model(None), compare) is None
    assert drift_seen(worklist, None, compare) is None


def test_scores_that_moved_are_told_and_those_that_did_not_are_not() -> None:
    rng = np.random.default_rng(4)
    reference = histogram(rng.normal(-2, 1, 400)).tolist()
    assert by_histogram(reference, rng.normal(-2, 1, 120))["state"] == "none seen"
    moved = by_histogram(reference, rng.normal(0, 1, 120))
    assert moved["state"] == "drift"
    assert "Recent scores differ" in moved["text"]
    assert by_histogram(reference, rng.normal(0, 1, 5))["state"] == "too few to tell"


def test_the_list_compares_real_counts(worklist: Worklist) -> None:
    worklist.put(result("a", "stat"))
    model = ModelInUse("w", cast("CalibratedPriority", WithReference((50,) * BINS)))
    found = drift_seen(worklist, model)
    assert found is not None
    assert found["state"] == "too few to tell"
