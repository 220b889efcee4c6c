from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from client.worklist import ModelInUse, Worklist
from client.worklist.drifting import drift_seen
from shared.priority import CalibratedPriority
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
