from hypothesis import given
from hypothesis import strategies as st

from server.results import Round
from server.web.left import Left, time_left

SECONDS = st.floats(0.01, 1e5)


def rounds(seconds: list[float]) -> list[Round]:
    return [Round(round=k, seconds=each, sites={}) for k, each in enumerate(seconds, start=1)]


def test_nothing_is_said_before_a_round_is_over_and_when_all_are() -> None:
    assert time_left([], of=5, now=0, ended=None) is None
    assert time_left(rounds([1, 1]), of=2, now=0, ended=0) is None


def test_what_passed_of_the_round_under_way_is_taken_off() -> None:
    assert time_left(rounds([10, 30]), of=5, now=105, ended=100) == Left(seconds=3 * 20 - 5, n=2)


@given(st.lists(SECONDS, min_size=1, max_size=6), st.integers(1, 5), SECONDS, SECONDS)
def test_it_never_grows_while_one_waits_and_keeps_the_rounds_after_this_one(
    seconds: list[float], more: int, waited: float, longer: float
) -> None:
    over = rounds(seconds)
    soon = time_left(over, of=len(over) + more, now=waited, ended=0)
    late = time_left(over, of=len(over) + more, now=waited + longer, ended=0)
    assert soon is not None
    assert late is not None
    mean = sum(seconds) / len(seconds)
    assert soon.seconds >= late.seconds >= (more - 1) * mean * (1 - 1e-9)
