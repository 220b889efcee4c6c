import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.folds import NO_FOLD, folds_of

names = st.lists(st.text(min_size=1, max_size=8), max_size=80)


@given(names, st.integers(2, 6), st.integers(1, 12))
def test_every_fold_holds_enough_patients_or_there_are_no_folds(
    scans: list[str], folds: int, minimum: int
) -> None:
    fold = folds_of(scans, folds=folds, salt="s", minimum_patients=minimum)
    assert fold.shape == (len(scans),)
    members = [{p for p, f in zip(scans, fold, strict=True) if f == k} for k in range(folds)]
    if np.all(fold == NO_FOLD):
        assert len(set(scans)) < folds * minimum
    else:
        sizes = [len(m) for m in members]
        assert min(sizes) >= minimum
        assert max(sizes) - min(sizes) <= 1
        assert sum(sizes) == len(set(scans))  # nobody is in two folds


@given(st.permutations([f"p{i}" for i in range(20)]))
def test_folds_depend_on_who_there_is_and_not_on_the_order(patients: list[str]) -> None:
    fold = folds_of(patients, folds=3, salt="s", minimum_patients=5)
    expected = folds_of(sorted(patients), folds=3, salt="s", minimum_patients=5)
    assert dict(zip(patients, fold, strict=True)) == dict(zip(sorted(patients), expected, strict=True))


def test_another_salt_deals_other_folds() -> None:
    patients = [f"p{i}" for i in range(40)]
    one, other = (folds_of(patients, folds=4, salt=salt, minimum_patients=5) for salt in "ab")
    assert 0.05 < np.mean(one == other) < 0.6


@pytest.mark.parametrize(("patients", "dealt"), [(14, False), (15, True)])
def test_the_smallest_fold_decides(patients: int, dealt: bool) -> None:
    fold = folds_of([f"p{i}" for i in range(patients)], folds=3, salt="s", minimum_patients=5)
    assert np.all(fold >= 0) if dealt else np.all(fold == NO_FOLD)


def test_folds_are_not_the_order_of_the_names() -> None:
    fold = folds_of([f"p{i:03}" for i in range(60)], folds=3, salt="s", minimum_patients=5)
    assert len({tuple(fold[i : i + 3]) for i in range(0, 60, 3)}) > 5
