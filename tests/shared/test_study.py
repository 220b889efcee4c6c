"""Each rule by which a study is refused, and what it says."""

from typing import Any, get_args

import pytest

from shared.errors import ConfigError
from shared.recalibration import KINDS
from shared.study import MapKind, Priority, Study, Task, Term, Tiers

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
        "expected urgent <= asap <= stat, found 0.6, 0.5, 0.75",
    ),
    "a plausible range has a width": (
        {"priority": {"urgent": URGENT, "terms": [TERM, {"feature": "b", "lowest": 120, "highest": 0}]}},
        "expected lowest < highest, found 120.0, 0.0",
    ),
    "a level is a word of a column": (
        {"priority": {"urgent": URGENT, "terms": [TERM, {"feature": "volume_ml", "level": "large"}]}},
        "a level belongs to a column of the patients table",
    ),
    "a level is not transformed": (
        {
            "priority": {
                "urgent": URGENT,
                "terms": [TERM, {"feature": "sex", "level": "F", "transform": "log1p"}],
            }
        },
        "a level belongs to a column of the patients table, without a transform",
    ),
    "a missing value's coefficient has a name of its own": (
        {
            "priority": {
                "urgent": URGENT,
                "terms": [{"feature": "age", "missing": "own_term"}, {"feature": "age:missing"}],
            }
        },
        "each feature may appear once, found ['age', 'age:missing', 'age:missing']",
    ),
    "sensitivity falls from tier to tier": (
        {"priority": {"urgent": URGENT, "terms": [TERM], "sensitivity": {"stat": 0.8}}},
        "expected urgent > asap > stat, found 0.95, 0.8, 0.8",
    ),
    "nothing is promised with certainty": (
        {"priority": {"urgent": URGENT, "terms": [TERM], "sensitivity": {"urgent": 1}}},
        "priority.sensitivity.urgent: Input should be less than 1",
    ),
    "a calibration is one that there is": (
        {"priority": {"urgent": URGENT, "terms": [TERM], "calibration": ["none", "spline"]}},
        "priority.calibration.1",
    ),
    "a calibration is named once": (
        {"priority": {"urgent": URGENT, "terms": [TERM], "calibration": ["platt", "platt"]}},
        "each calibration may appear once",
    ),
    "there are two folds at least": (
        {"priority": {"urgent": URGENT, "terms": [TERM], "folds": 1}},
        "priority.folds",
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


@pytest.mark.parametrize(("written", "meant"), [(True, "own"), (False, "none"), ("shrunk", "shrunk")])
def test_older_studies_say_whether_a_site_has_its_intercept(written: bool | str, meant: str) -> None:
    values = {"urgent": URGENT, "terms": [TERM], "site_intercept": written, "tiers": {"urgent": 0.2}}
    priority = Study.parse({**GOOD, "priority": values}, "study.yaml").priority
    assert priority is not None
    assert priority.site_intercept == meant
    assert priority.tiers == Tiers(urgent=0.2, asap=0.5, stat=0.75)
    assert Priority.parse({"urgent": URGENT, "terms": [TERM]}, "study.yaml").tiers is None


def test_a_level_and_a_missing_value_have_names_of_their_own() -> None:
    sex = Term(feature="sex", level="F", missing="own_term")
    assert (sex.name, sex.missing_name, sex.is_flag, sex.is_history) == ("sex=F", "sex=F:missing", True, True)
    age = Term(feature="age", lowest=0, highest=120)
    assert (age.name, age.missing_name, age.is_flag) == ("age", None, False)
    assert [age.believes(value) for value in (-1, 0, 120, 121)] == [False, True, True, False]


def test_the_calibrations_of_a_study_are_those_that_can_be_fitted() -> None:
    assert set(get_args(MapKind)) == set(KINDS)
