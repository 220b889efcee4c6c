"""How often something may be done."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from shared.web.pace import SWEEP, Pace

STEPS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40)), max_size=60)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(STEPS, st.integers(1, 5))
def test_it_is_a_bucket_that_leaks_evenly(steps: list[tuple[str, int]], count: int) -> None:
    """A bucket of `count` drops that loses one each 10 s, kept in tenths of a drop, is the oracle."""
    clock = Clock()
    pace = Pace(count, 10 * count, clock=clock)
    level: dict[str, int] = defaultdict(int)
    seen: dict[str, int] = defaultdict(int)
    now = 0
    for key, later in steps:
        now += later
        clock.now = 1000.0 + now
        level[key] = max(0, level[key] - (now - seen[key]))
        seen[key] = now
        fits = level[key] + 10 <= 10 * count
        wait_s = pace.take(key)
        assert (wait_s == 0) == fits
        if fits:
            level[key] += 10
        else:
            assert abs(wait_s - (level[key] + 10 - 10 * count)) < 1e-6


def test_after_the_wait_the_next_is_free_however_often_one_tried() -> None:
    clock = Clock()
    pace = Pace(5, 300, clock=clock)
    assert [pace.take("a") for _ in range(5)] == [0] * 5
    waits = {round(pace.take("a"), 6) for _ in range(1000)}
    assert waits == {60.0}
    clock.now += 60
    assert pace.take("a") == 0
    assert pace.take("a") > 0


def test_what_is_given_back_did_not_count() -> None:
    pace = Pace(2, 60, clock=Clock())
    for _ in range(10):
        assert pace.take("a") == 0
        pace.give_back("a")
    pace.give_back("unknown")


def test_keys_that_are_paid_off_are_forgotten() -> None:
    clock = Clock()
    pace = Pace(1, 1, clock=clock)
    for number in range(20 * SWEEP):
        clock.now += 0.01
        pace.take(str(number))
    assert len(pace) <= SWEEP
