from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import pytest

from shared.errors import ConfigError
from shared.queueing.arrivals import Arrivals, Days, Poisson, Weekly
from shared.queueing.hours import DAY_MINUTES, WEEK_MINUTES
from shared.queueing.times import Empirical, Exponential, Lognormal, Times

WEDNESDAY = datetime(2026, 4, 1, 0, 0)
WEEKS = 12


def office_days() -> list[datetime]:
    """Twenty scans from 8 to 18 on working days, one at noon on the others."""
    times = []
    for day in range(7 * WEEKS):
        date = WEDNESDAY + timedelta(days=day)
        minutes = [480 + 30 * k for k in range(20)] if date.weekday() < 5 else [720]
        times += [date + timedelta(minutes=m) for m in minutes]
    return times


PER_WEEK = 5 * 20 + 2
patterns = pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: Poisson(PER_WEEK / WEEK_MINUTES), id="poisson"),
        pytest.param(lambda: Weekly.of(office_days()), id="weekly"),
        pytest.param(lambda: Days.of(office_days()), id="days"),
    ],
)


@patterns
def test_a_pattern_keeps_its_rate_and_takes_another(make: Callable[[], Arrivals]) -> None:
    pattern, generator = make(), np.random.default_rng(3)
    assert pattern.per_minute == pytest.approx(PER_WEEK / WEEK_MINUTES)
    for rate in (PER_WEEK / WEEK_MINUTES, 0.004, 0.05):
        scaled = pattern.scaled(rate)
        times = scaled.draw(20_000, generator)
        assert scaled.per_minute == pytest.approx(rate)
        assert times.shape == (20_000,)
        assert np.all(np.diff(times) >= 0)
        assert len(times) / times[-1] == pytest.approx(rate, rel=0.03)


@pytest.mark.parametrize("kind", [Weekly, Days])
def test_scans_come_when_they_came(kind: type[Weekly] | type[Days]) -> None:
    times = kind.of(office_days()).draw(20_000, np.random.default_rng(4))
    minute, weekday = times % DAY_MINUTES, times // DAY_MINUTES % 7
    working = weekday < 5
    assert np.mean(working) == pytest.approx(100 / PER_WEEK, abs=0.01)
    assert minute[working].min() >= 480
    assert minute[working].max() < 1080
    assert np.all(minute[~working] // 60 == 12)


def test_days_stay_whole() -> None:
    times = Days.of(office_days()).draw(1000, np.random.default_rng(4))
    assert (times[:20] == 480 + 30 * np.arange(20)).all()


def test_a_weekday_counted_more_often_weighs_no_more() -> None:
    eight = [WEDNESDAY + timedelta(days=day, hours=9) for day in range(8)]  # two Wednesdays
    assert Weekly.of(eight).rates.reshape(7, 24).sum(axis=1) == pytest.approx([1 / 60] * 7)


@pytest.mark.parametrize("kind", [Weekly, Days])
@pytest.mark.parametrize("days", [0, 3])
def test_less_than_a_week_is_refused(kind: type[Weekly] | type[Days], days: int) -> None:
    few = [WEDNESDAY + timedelta(days=k) for k in range(days)]
    with pytest.raises(ConfigError, match=f"{days} days"):
        kind.of(few)


def test_a_weekday_never_seen_whole_is_refused() -> None:
    with pytest.raises(ConfigError, match="every weekday"):
        Days.of([WEDNESDAY + timedelta(days=k) for k in range(8)])


@pytest.mark.parametrize(
    "times", [Exponential(), Lognormal(0.7), Empirical.of(np.linspace(2, 20, 50))], ids=repr
)
def test_reading_times_have_mean_one_and_the_square_they_say(times: Times) -> None:
    drawn = times.draw(200_000, np.random.default_rng(5))
    assert drawn.mean() == pytest.approx(1, abs=0.01)
    assert np.mean(drawn**2) == pytest.approx(times.square, rel=0.02)


@pytest.mark.parametrize("seen", [[5.0] * 29, [5.0] * 30 + [0.0], [5.0] * 30 + [np.nan]])
def test_too_few_or_impossible_reading_times_are_refused(seen: list[float]) -> None:
    with pytest.raises(ConfigError, match="reading times"):
        Empirical.of(seen)
