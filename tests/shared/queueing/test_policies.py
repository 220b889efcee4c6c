"""The simulation against the formulas; what a longest wait does."""

from collections.abc import Mapping

import numpy as np
import pytest

from shared.errors import ConfigError
from shared.queueing.arrivals import Poisson
from shared.queueing.classes import Reading, Triage
from shared.queueing.expected import expected
from shared.queueing.hours import Hours
from shared.queueing.policies import Policy, Scans, Summary, draw, minutes_waited, simulate, summary
from shared.queueing.times import Exponential, Lognormal, Times

CASE_A = Triage.at(prevalence=0.1, sensitivity=0.9, specificity=0.9)
FOUR = Triage(prevalence=0.2, diseased=(0.5, 0.3, 0.15, 0.05), others=(0.02, 0.08, 0.2, 0.7))
POLICIES = {"first come": Policy(tiers=False), "order": Policy(tiers=True)}
MILLION = 1_000_000


def drawn(
    triage: Triage, reading: Reading, count: int, *, times: Times | None = None, hours: Hours | None = None
) -> Scans:
    return draw(
        triage,
        reading,
        arrivals=Poisson(1.0),
        times=times or Exponential(),
        hours=hours or Hours(),
        count=count,
        generator=np.random.default_rng(20),
    )


def compared(
    triage: Triage, reading: Reading, count: int, times: Times | None = None
) -> Mapping[str, Mapping[str, Summary]]:
    return simulate(drawn(triage, reading, count, times=times), reading, POLICIES, hours=Hours())


rooms = pytest.mark.parametrize(
    ("triage", "reading"),
    [
        pytest.param(CASE_A, Reading(), id="A, not interrupting"),
        pytest.param(CASE_A, Reading(interrupting=True), id="A, interrupting"),
        pytest.param(
            CASE_A,
            Reading(readers=2, emergency_share=0.1, emergency_minutes=5, interrupting=True),
            id="E, published",
        ),
        pytest.param(CASE_A, Reading(readers=3), id="three readers"),
        pytest.param(
            CASE_A,
            Reading(utilisation=0.6, emergency_share=0.3, emergency_minutes=15),
            id="emergencies only interrupt",
        ),
        pytest.param(CASE_A, Reading(diseased_minutes=15, other_minutes=8), id="unequal times"),
        pytest.param(CASE_A, Reading(diseased_minutes=25, interrupting=True), id="unequal, interrupting"),
        pytest.param(FOUR, Reading(readers=2), id="four tiers"),
    ],
)


@rooms
def test_simulation_and_formula_agree_within_their_interval(triage: Triage, reading: Reading) -> None:
    found = compared(triage, reading, 60_000)
    for name, order in (("first come", triage.first_come()), ("order", triage)):
        formula = expected(order, reading)
        for group in ("diseased", "others", "missed"):
            simulated = found[name][group]
            # 1.5 intervals: there are 48 of them, and they are not independent
            assert abs(simulated.mean - getattr(formula, group)) < 1.5 * simulated.half_width, (name, group)


@pytest.mark.slow
@rooms
def test_the_time_saved_agrees_within_two_percent_at_a_million_arrivals(
    triage: Triage, reading: Reading
) -> None:
    found = compared(triage, reading, MILLION)
    simulated = found["first come"]["diseased"].mean - found["order"]["diseased"].mean
    formula = expected(triage.first_come(), reading).diseased - expected(triage, reading).diseased
    assert simulated == pytest.approx(formula, rel=0.02)


def test_lognormal_times_follow_pollaczek_and_khinchine() -> None:
    reading = Reading(utilisation=0.6, square=Lognormal(0.6).square)
    found = compared(CASE_A, reading, 60_000, Lognormal(0.6))["order"]["diseased"]
    assert abs(found.mean - expected(CASE_A, reading).diseased) < 1.5 * found.half_width


def test_a_longest_wait_shortens_the_longest_wait_of_the_missed() -> None:
    """As Baltruschat et al. (European Radiology, 2021) found for chest radiographs."""
    reading = Reading(utilisation=0.9)
    policies = {**POLICIES, "limited": Policy(tiers=True, longest_minutes=(None, 240.0))}
    found = simulate(drawn(FOUR_IN_TWO, reading, 60_000), reading, policies, hours=Hours())
    first, order, limited = (found[name] for name in ("first come", "order", "limited"))
    assert first["diseased"].mean > limited["diseased"].mean > order["diseased"].mean
    assert first["missed"].maximum < limited["missed"].maximum < order["missed"].maximum


FOUR_IN_TWO = Triage.at(prevalence=0.2, sensitivity=0.9, specificity=0.6)


def test_a_limit_of_nothing_is_first_come_first_served() -> None:
    reading = Reading(readers=2)
    scans = drawn(FOUR, reading, 2000)
    at_once = Policy(tiers=True, longest_minutes=(None, 0.0, 0.0, 0.0))
    assert minutes_waited(scans, reading, at_once, hours=Hours()) == pytest.approx(
        minutes_waited(scans, reading, POLICIES["first come"], hours=Hours())
    )


def test_scans_never_move_up_among_the_emergencies() -> None:
    reading = Reading(emergency_share=0.3, utilisation=0.9)
    scans = drawn(CASE_A, reading, 2000)
    at_once = Policy(tiers=True, longest_minutes=(0.0, 0.0))
    assert minutes_waited(scans, reading, at_once, hours=Hours()) == pytest.approx(
        minutes_waited(scans, reading, POLICIES["first come"], hours=Hours())
    )


def test_scans_are_drawn_as_asked() -> None:
    reading = Reading(readers=2, diseased_minutes=15, other_minutes=8, emergency_share=0.1, utilisation=0.7)
    office = Hours.parse("8-18")
    scans = drawn(FOUR, reading, 200_000, hours=office)
    emergency = scans.tier == -1
    assert emergency.mean() == pytest.approx(0.1, abs=0.003)
    assert not np.any(emergency & scans.diseased)
    assert scans.diseased[~emergency].mean() == pytest.approx(0.2, abs=0.004)
    for who, shares in ((scans.diseased, FOUR.diseased), (~emergency & ~scans.diseased, FOUR.others)):
        assert np.bincount(scans.tier[who]) / who.sum() == pytest.approx(shares, abs=0.01)
    work = scans.minutes.sum() / office.open_clock(scans.arrive[-1:])[0] / 2
    assert work == pytest.approx(0.7, rel=0.02)
    means = [scans.minutes[who].mean() for who in (scans.diseased, emergency)]
    assert means == pytest.approx([15, 5], rel=0.03)


def test_batch_means_cover_what_they_should() -> None:
    """Of waits that are not correlated, 95 % of the intervals hold the mean."""
    generator = np.random.default_rng(8)
    everyone = np.ones(2000, bool)
    found = [summary(generator.exponential(1, 2000), everyone) for _ in range(400)]
    assert np.mean([abs(s.mean - 1) < s.half_width for s in found]) == pytest.approx(0.95, abs=0.03)


def test_the_first_scans_are_left_out_of_the_summary() -> None:
    waited = np.concatenate([np.full(50, 1e9), np.arange(950.0)])
    found = summary(waited, np.ones(1000, bool))
    assert (found.scans, found.maximum) == (950, 949)
    assert found.mean == pytest.approx(474.5)
    assert found.percentile_95 == pytest.approx(np.percentile(np.arange(950), 95))


def test_nobody_is_missed_where_the_lowest_tier_is_empty() -> None:
    upper = Triage(prevalence=0.1, diseased=(0.5, 0.5, 0.0), others=(0.5, 0.5, 0.0))
    found = simulate(drawn(upper, Reading(), 2000), Reading(), POLICIES, hours=Hours())
    assert set(found["order"]) == {"diseased", "others"}


def test_too_few_scans_are_refused() -> None:
    with pytest.raises(ConfigError, match="10 scans"):
        drawn(CASE_A, Reading(), 10)


def test_an_order_makes_no_wait_where_readings_are_of_one_length() -> None:
    reading = Reading(readers=2)
    scans = drawn(FOUR, reading, 3000)
    same = Scans(scans.arrive, np.full(3000, 10.0), scans.tier, scans.diseased, scans.tiers)
    first_come, order = (minutes_waited(same, reading, p, hours=Hours()) for p in POLICIES.values())
    assert first_come.sum() == pytest.approx(order.sum())
    assert not np.allclose(first_come, order)
