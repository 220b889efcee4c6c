import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shared.randomness import generator

purposes = st.lists(st.one_of(st.integers(), st.text(max_size=5)), max_size=4).map(tuple)


def draws(seed: int, *purpose: str | int) -> list[float]:
    return [float(x) for x in generator(seed, *purpose).random(4)]


@given(seed=st.integers(), purpose=purposes)
def test_a_generator_depends_on_nothing_but_its_purpose(seed: int, purpose: tuple[str | int, ...]) -> None:
    first = draws(seed, *purpose)
    np.random.default_rng(0).random(10)
    assert draws(seed, *purpose) == first


@given(one=st.tuples(st.integers(), purposes), other=st.tuples(st.integers(), purposes))
def test_unequal_purposes_draw_unequally(
    one: tuple[int, tuple[str | int, ...]], other: tuple[int, tuple[str | int, ...]]
) -> None:
    assert (draws(one[0], *one[1]) == draws(other[0], *other[1])) == (one == other)


def test_text_and_number_or_other_groupings_are_other_purposes() -> None:
    keys: list[tuple[str | int, ...]] = [("a", 1), ("a", "1"), ("a1",), ("a", 11), ("a", 1, 1), ("a,1",)]
    assert len({tuple(draws(0, *key)) for key in keys}) == len(keys)


def test_all_256_bits_of_the_purpose_are_used() -> None:
    values = np.array([generator(0, n).random() for n in range(2000)])
    assert abs(values.mean() - 0.5) < 5 * np.sqrt(1 / 12 / 2000)
    assert len(np.unique(values)) == 2000


def test_what_is_drawn_today_is_drawn_by_a_later_version() -> None:
    assert draws(2026, "hospital-a", 3)[:2] == [0.043022991096062446, 0.44431369555421507]
