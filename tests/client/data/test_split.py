from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from client.data.split import split_of
from shared.study import Evaluation

PATIENTS = st.sets(st.text(min_size=1, max_size=8), max_size=20)


@settings(deadline=None)
@given(PATIENTS, PATIENTS)
def test_nobody_moves_when_patients_are_added(first: set[str], more: set[str]) -> None:
    evaluation = Evaluation()
    before = {patient: split_of(patient, evaluation) for patient in first}
    after = {patient: split_of(patient, evaluation) for patient in sorted(first | more)}
    assert before.items() <= after.items()


@settings(deadline=None)
@given(st.text(max_size=8), st.floats(0, 0.4), st.floats(0, 0.4))
def test_the_validation_fraction_does_not_touch_the_test_set(patient: str, one: float, two: float) -> None:
    first, second = (Evaluation(validation_fraction=fraction) for fraction in (one, two))
    assert (split_of(patient, first) == "test") == (split_of(patient, second) == "test")


def test_fractions_are_met_and_the_salt_draws_another_split() -> None:
    patients = [f"patient-{number}" for number in range(4000)]
    evaluation = Evaluation(validation_fraction=0.1, test_fraction=0.3)
    counts = Counter(split_of(patient, evaluation) for patient in patients)
    assert abs(counts["test"] - 1200) < 90  # three standard deviations
    assert abs(counts["validation"] - 400) < 60
    other = evaluation.model_copy(update={"split_salt": "another"})
    assert any(split_of(patient, evaluation) != split_of(patient, other) for patient in patients)


def test_fractions_of_zero_leave_everybody_to_training() -> None:
    nobody = Evaluation(validation_fraction=0, test_fraction=0)
    assert {split_of(str(number), nobody) for number in range(100)} == {"train"}


def test_the_split_of_a_name_is_the_same_for_ever() -> None:
    names = ["hippocampus_001", "hippocampus_003", "a", "b"]
    assert [split_of(name, Evaluation()) for name in names] == ["validation", "train", "train", "test"]


@settings(deadline=None)
@given(st.text(max_size=8), st.integers(2, 12))
def test_turned_once_around_everybody_is_tested_once(patient: str, turns: int) -> None:
    found = [
        split_of(patient, Evaluation(test_fraction=1 / turns, validation_fraction=0.2, turn=k / turns))
        for k in range(turns)
    ]
    assert found.count("test") == 1


def test_a_turn_keeps_the_fractions() -> None:
    evaluation = Evaluation(test_fraction=0.2, validation_fraction=0.3, turn=0.6)
    counts = Counter(split_of(f"patient-{number}", evaluation) for number in range(4000))
    assert abs(counts["test"] - 800) < 100
    assert abs(counts["validation"] - 1200) < 120
