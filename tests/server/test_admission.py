"""What one update must be like before it may touch the model."""

from collections.abc import Callable

import numpy as np
import pytest

from server.admission import Accepted, Refused, admit
from shared.study import Privacy
from shared.wire import Record

WEIGHTS = {"a": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.float32)}
PRIVACY = Privacy(epsilon=8.0, delta=1e-3)
Arrays = dict[str, np.ndarray]


def judge(
    *, arrays: Arrays | None = None, privacy: Privacy | None = None, kind: str = "update", **changes: object
) -> Accepted | Refused:
    fields = {
        "site": "north",
        "run": "run",
        "round": 3,
        "patients": 10,
        "loss": 0.1,
        "epsilon": -1.0,
        "delta": -1.0,
    }
    if kind != "update":
        fields = {"site": "north", "patients": 10}
    record = Record(kind, {**fields, **changes}, good() if arrays is None else arrays)  # type: ignore[dict-item]
    return admit(
        record,
        site="north",
        run="run",
        round_number=3,
        weights=WEIGHTS,
        enrolled_patients=10,
        max_norm=100.0,
        privacy=privacy,
    )


def good() -> Arrays:
    return {name: np.full(w.shape, 0.5, np.float32) for name, w in WEIGHTS.items()}


def changed(change: Callable[[np.ndarray], np.ndarray]) -> Arrays:
    return {**good(), "a": change(good()["a"])}


def with_value(value: float) -> Arrays:
    return changed(lambda a: np.where(np.arange(6).reshape(2, 3) == 4, np.float32(value), a))


def test_a_good_update_is_accepted_over_its_patients() -> None:
    assert judge() == Accepted(10)
    assert judge(patients=1) == Accepted(1)


REFUSALS: dict[str, tuple[Callable[[], Accepted | Refused], str]] = {
    "an update of another run": (lambda: judge(run="other"), "run"),
    "an update of an earlier round": (lambda: judge(round=2), "round"),
    "an update of a round to come": (lambda: judge(round=4), "round"),
    "an update under another site's name": (lambda: judge(site="south"), "site"),
    "no patients": (lambda: judge(patients=0), "patients"),
    "a negative number of patients": (lambda: judge(patients=-5), "patients"),
    "more patients than the site enrolled": (lambda: judge(patients=11), "patients"),
    "a missing array": (lambda: judge(arrays={"a": good()["a"]}), "names"),
    "an array too many": (lambda: judge(arrays={**good(), "c": good()["b"]}), "names"),
    "an array transposed": (lambda: judge(arrays=changed(lambda a: a.T)), "shapes"),
    "shape (1,), which would broadcast": (lambda: judge(arrays=changed(lambda a: a.ravel()[:1])), "shapes"),
    "shape (), which would broadcast": (lambda: judge(arrays=changed(np.sum)), "shapes"),
    "float64": (lambda: judge(arrays=changed(lambda a: a.astype(np.float64))), "types"),
    "float16": (lambda: judge(arrays=changed(lambda a: a.astype(np.float16))), "types"),
    "integers": (lambda: judge(arrays=changed(lambda a: a.astype(np.int64))), "types"),
    "one NaN": (lambda: judge(arrays=with_value(np.nan)), "not_finite"),
    "one infinity": (lambda: judge(arrays=with_value(-np.inf)), "not_finite"),
    "an enormous norm": (lambda: judge(arrays=with_value(101.0)), "norm"),
    "values near the end of float32": (lambda: judge(arrays=with_value(3e38)), "norm"),
    "another kind of answer": (lambda: judge(kind="reliability_bins"), "kind.reliability_bins"),
    "a private study and no epsilon": (lambda: judge(privacy=PRIVACY), "epsilon"),
    "an epsilon that is not a number": (lambda: judge(privacy=PRIVACY, epsilon=float("nan")), "epsilon"),
    "more epsilon than the study promises": (lambda: judge(privacy=PRIVACY, epsilon=8.1), "epsilon"),
}


@pytest.mark.parametrize("fault", REFUSALS)
def test_what_is_refused_and_with_which_reason(fault: str) -> None:
    verdict, reason = REFUSALS[fault]
    assert verdict() == Refused(reason)


def test_the_largest_allowed_norm_and_epsilon_are_accepted() -> None:
    edge = {name: np.zeros(w.shape, np.float32) for name, w in WEIGHTS.items()}
    edge["b"][0] = 100.0
    assert judge(arrays=edge) == Accepted(10)
    assert judge(privacy=PRIVACY, epsilon=8.0) == Accepted(10)
