"""Each rule by which a study is refused, and what it says."""

from typing import Any

import pytest

from shared.errors import ConfigError
from shared.study import Study, Task, Term

GOOD: dict[str, Any] = {"name": "liver", "task": {"classes": ["liver", "tumour"]}}
URGENT = {"outcome": "urgent"}
TERM = {"feature": "age"}


def refused(changes: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as fault:
        Study.parse({**GOOD, **changes}, "study.yaml")
    return str(fault.value)


RULES: dict[str, tuple[dict[str, Any], str]] = {
    "a name is one word": ({"name": "Liver Study"}, "name: String should match"),
    "there is at least one class": ({"task": {"classes": []}}, "task.classes"),
    "classes differ": ({"task": {"classes": ["a", "a"]}}, "each class may be named once"),
    "labels are one group per class": (
        {"task": {"classes": ["a", "b"], "labels": [[1]]}},
        "labels has 1 entries for 2 classes",
    ),
    "each class has a label value": (
        {"task": {"classes": ["a", "b"], "labels": [[1], []]}},
        "at least one label value",
    ),
    "background is no class": ({"task": {"classes": ["a"], "labels": [[0]]}}, "at least 1, found [0]"),
    "a label value is one class": (
        {"task": {"classes": ["a", "b"], "labels": [[1, 2], [2]]}},
        "distinct and at least 1, found [1, 2, 2]",
    ),
    "a finding is a class": (
        {"task": {"classes": ["a"], "finding": ["b"]}},
        "finding names ['b'], not among classes ['a']",
    ),
    "the CT window has a width": (
        {"preprocessing": {"intensity": {"kind": "ct_window", "low_hu": 50, "high_hu": 50}}},
        "low_hu 50.0 must be below high_hu 50.0",
    ),
    "a spacing is positive": ({"preprocessing": {"spacing_mm": [1, 0, 1]}}, "preprocessing.spacing_mm.1"),
    "something is left to train on": (
        {"evaluation": {"validation_fraction": 0.5, "test_fraction": 0.5}},
        "must leave something to train on",
    ),
    "a volume bound has one side": (
        {"priority": {"urgent": {"volume": {"above_ml": 1, "below_ml": 2}}, "terms": [TERM]}},
        "exactly one of above_ml and below_ml",
    ),
    "a volume bound has a side": (
        {"priority": {"urgent": {"volume": {}}, "terms": [TERM]}},
        "exactly one of above_ml and below_ml",
    ),
    "urgent means one thing": (
        {"priority": {"urgent": {"outcome": "u", "volume": {"above_ml": 1}}, "terms": [TERM]}},
        "exactly one of outcome and volume",
    ),
    "urgent means something": (
        {"priority": {"urgent": {}, "terms": [TERM]}},
        "exactly one of outcome and volume",
    ),
    "tiers rise": (
        {"priority": {"urgent": URGENT, "terms": [TERM], "tiers": {"urgent": 0.6}}},
        "expected urgent < asap < stat, found 0.6, 0.5, 0.75",
    ),
    "a feature appears once": (
        {"priority": {"urgent": URGENT, "terms": [TERM, TERM]}},
        "each feature may appear once, found ['age', 'age']",
    ),
    "a score has a term": ({"priority": {"urgent": URGENT, "terms": []}}, "priority.terms"),
    "the window is a multiple of the stride": (
        {"training": {"window": [32, 30, 32]}},
        "training.window [32, 30, 32] must be multiples of 4 (3 levels)",
    ),
    "the shape is a multiple of the stride": (
        {"preprocessing": {"shape": [32, 32, 33]}},
        "preprocessing.shape [32, 32, 33] must be multiples of 4",
    ),
    "a 2-D model trains on slices": ({"model": {"dimensions": 2}}, "must end in 1, found 32"),
    "the window fits into the shape": (
        {"preprocessing": {"shape": [32, 32, 16]}},
        "training.window must fit into preprocessing.shape",
    ),
    "delta is a probability": ({"privacy": {"epsilon": 1, "delta": 1}}, "privacy.delta"),
    "epsilon is finite": ({"privacy": {"epsilon": float("inf"), "delta": 0.1}}, "privacy.epsilon"),
    "a key is known": ({"training": {"round": 3}}, "training.round: unknown key"),
}


@pytest.mark.parametrize(("changes", "fault"), RULES.values(), ids=RULES.keys())
def test_a_study_is_refused_unless(changes: dict[str, Any], fault: str) -> None:
    message = refused(changes)
    assert fault in message
    assert message.startswith("study.yaml has 1 fault(s)")


def test_the_good_study_is_accepted_with_its_defaults() -> None:
    study = Study.parse(GOOD, "study.yaml")
    assert study.privacy is None
    assert study.model.stride == 4


def test_a_2d_study_needs_no_stride_along_slices() -> None:
    slices = {"model": {"dimensions": 2}, "training": {"window": [32, 32, 1]}}
    study = Study.parse({**GOOD, **slices, "preprocessing": {"shape": [64, 64, 7]}}, "study.yaml")
    assert study.training.window == (32, 32, 1)


def test_label_values_and_findings_default_to_all_classes() -> None:
    assert Task(classes=("a", "b")).label_values == ((1,), (2,))
    assert Task(classes=("a", "b")).finding_classes == ("a", "b")
    chosen = Task(classes=("a", "b"), labels=((3,), (1, 2)), finding=("b",))
    assert (chosen.label_values, chosen.finding_classes) == (((3,), (1, 2)), ("b",))


def test_a_term_of_the_network_is_no_history() -> None:
    assert not Term(feature="volume_ml").is_history
    assert Term(feature="age").is_history
