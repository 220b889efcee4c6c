from typing import get_args

import pytest

from shared.priority import Tier
from shared.words import TIER_WORDS, counted, listed, percent, place, plain, said


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (31.0, "mm", "31 mm"),
        (3.14, "ml", "3.1 ml"),
        (0.0312, "", "0.031"),
        (-0.0, "mm", "0 mm"),
        (44, "years", "44 years"),
        (None, "mm", "not recorded"),
    ],
)
def test_values_are_said_with_their_unit(value: float | None, unit: str, text: str) -> None:
    assert said(value, unit) == text


def test_a_flag_is_yes_or_no_and_what_is_neither_is_a_number() -> None:
    assert [said(value, flag=True) for value in (1, 0.0, 0.5, None)] == ["yes", "no", "0.5", "not recorded"]


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0, "0 %"), (0.004, "under 1 %"), (0.5, "50 %"), (0.9996, "over 99 %"), (1, "100 %")],
)
def test_a_probability_is_never_said_to_be_certain(fraction: float, text: str) -> None:
    assert percent(fraction) == text


def test_a_place_is_said_by_the_patients_sides() -> None:
    assert place((31.4, -12, 0)) == "31 right, 12 posterior, 0 superior"
    assert place((-1, 2, -3)) == "1 left, 2 anterior, 3 inferior"


def test_things_are_counted_in_words() -> None:
    assert [counted(number, "site") for number in (0, 1, 2, 1200)] == [
        "0 sites",
        "1 site",
        "2 sites",
        "1,200 sites",
    ]
    assert [counted(number, "pass", "passes") for number in (1, 2)] == ["1 pass", "2 passes"]


def test_names_are_joined_as_they_are_spoken() -> None:
    assert [listed(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


def test_every_tier_has_words_in_the_order_of_the_tiers() -> None:
    assert tuple(TIER_WORDS) == get_args(Tier)
    assert plain(1) == "1"
