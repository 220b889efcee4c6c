import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigError
from shared.queueing.hours import DAY_MINUTES, WEEK_MINUTES, Hours

OFFICE = Hours.parse("mon-fri 8-18, sat 9:30-13")


def test_words_become_spans() -> None:
    assert OFFICE.spans[0] == (480, 1080)
    assert OFFICE.spans[-1] == (5 * DAY_MINUTES + 570, 5 * DAY_MINUTES + 780)
    assert OFFICE.open_minutes == 5 * 600 + 210
    assert Hours.parse("0-24") == Hours()
    assert Hours.parse("8-12, 13-17").open_minutes == 7 * 480


@pytest.mark.parametrize(
    "text", ["", "noon", "mon 18-8", "mon 8-25", "xyz 8-9", "fri-mon 8-9", "8-12, 11-13", "mon-fri 8", "8-8"]
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="opening hours"):
        Hours.parse(text)


@pytest.mark.parametrize("spans", [(), ((5.0, 1.0),), ((0.0, 99999.0),), ((-1.0, 4.0),)])
def test_spans_outside_a_week_are_refused(spans: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ConfigError, match="within one week"):
        Hours(spans)


def test_the_open_clock_stands_still_at_night() -> None:
    evening, night, morning = 19 * 60.0, DAY_MINUTES + 60.0, DAY_MINUTES + 490.0
    assert OFFICE.open_clock(np.array([0.0, 480, 490, evening, night, morning])).tolist() == [
        0, 0, 10, 600, 600, 610,
    ]  # fmt: skip
    assert OFFICE.wall_clock(np.array([0.0, 10, 600, 610])).tolist() == [
        480, 490, DAY_MINUTES + 480, DAY_MINUTES + 490,
    ]  # fmt: skip


@given(st.lists(st.floats(0, 5 * WEEK_MINUTES), min_size=1))
def test_the_open_clock_counts_open_minutes_one_by_one(walls: list[float]) -> None:
    """The oracle: the length of what each span has in common with the time since the first Monday."""
    for wall, found in zip(walls, OFFICE.open_clock(np.array(walls)), strict=True):
        passed = sum(
            max(0.0, min(wall, week * WEEK_MINUTES + end) - (week * WEEK_MINUTES + start))
            for week in range(6)
            for start, end in OFFICE.spans
        )
        assert found == pytest.approx(passed, abs=1e-6)


@given(st.floats(0, 5 * WEEK_MINUTES))
def test_the_wall_clock_undoes_the_open_clock(wall: float) -> None:
    opened = OFFICE.open_clock(np.array([wall]))
    back = OFFICE.wall_clock(opened)
    assert back[0] >= wall - 1e-6
    assert OFFICE.open_clock(back)[0] == pytest.approx(opened[0], abs=1e-6)
