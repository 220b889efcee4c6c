import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, norm

from shared.conformal import (
    SensitivityRule,
    Threshold,
    pooled_rank,
    positives_needed,
    realised,
    sensitivity_rule,
    sensitivity_rules,
    site_rank,
)
from shared.errors import DataError, FederationError
from shared.score_bins import BINS, EDGES, bin_of, histogram
from shared.sums import IntArray

# Six unlike hospitals: mean and spread of the log-odds of their urgent patients, and how many they have.
SITES = {"a": (2.0, 1.0), "b": (1.5, 1.0), "c": (0.0, 1.3), "d": (2.5, 0.8), "e": (1.0, 1.0), "f": (1.8, 1.5)}
POSITIVES = {"a": 300, "b": 250, "c": 80, "d": 400, "e": 150, "f": 120}


def draw(rng: np.random.Generator) -> dict[str, IntArray]:
    return {site: histogram(rng.normal(*SITES[site], POSITIVES[site])) for site in SITES}


def true_sensitivity(site: str, threshold: Threshold) -> float:
    mean, spread = SITES[site]
    return float(norm.sf(threshold.log_odds, mean, spread))


def test_the_site_rule_meets_the_target_at_every_site_and_the_pooled_one_does_not() -> None:
    rng = np.random.default_rng(5)
    repetitions, all_met, pooled_worst, pooled_mixture = 400, 0, [], []
    weights = np.array([POSITIVES[site] + 1 for site in SITES]) / (sum(POSITIVES.values()) + len(SITES))
    for _ in range(repetitions):
        rule = sensitivity_rule(draw(rng), target=0.9, confidence=0.95)
        all_met += all(true_sensitivity(site, rule.at(site)) >= 0.9 for site in SITES)
        pooled = np.array([true_sensitivity(site, rule.pooled) for site in SITES])
        pooled_worst.append(pooled.min())
        pooled_mixture.append(weights @ pooled)
        assert {t.rule for t in rule.sites.values()} == {"site"}
    assert all_met / repetitions >= 0.95
    assert np.mean(pooled_mixture) >= 0.9
    assert np.mean(pooled_worst) < 0.7


def test_a_large_draw_agrees_with_the_sensitivity_that_the_normal_distribution_tells() -> None:
    rng = np.random.default_rng(6)
    rule = sensitivity_rule(draw(rng), target=0.9)
    for site, (mean, spread) in SITES.items():
        found = realised(histogram(rng.normal(mean, spread, 200_000)), rule.at(site))
        assert found == pytest.approx(true_sensitivity(site, rule.at(site)), abs=0.005)


@given(st.integers(1, 200), st.floats(0.3, 0.99), st.floats(1e-4, 0.3))
def test_the_site_rank_is_the_largest_that_the_beta_distribution_allows(
    n: int, target: float, error: float
) -> None:
    k = site_rank(n, target, error)
    # The share of positives below the k-th smallest of n is Beta(k, n - k + 1).
    if k:
        assert beta.cdf(1 - target, k, n - k + 1) >= 1 - error - 1e-9
    if k < n:
        assert beta.cdf(1 - target, k + 1, n - k) < 1 - error + 1e-9


@given(st.floats(0.3, 0.99), st.floats(1e-4, 0.3))
def test_one_positive_fewer_than_needed_is_too_few(target: float, error: float) -> None:
    n = positives_needed(target, error)
    assert site_rank(n, target, error) >= 1
    assert n == 1 or site_rank(n - 1, target, error) == 0


def test_ranks_of_hand_computed_cases() -> None:
    assert pooled_rank(19, 1, 0.95) == 1  # ceil(20 * .95) = 19
    assert pooled_rank(18, 1, 0.95) == 0  # ceil(19 * .95) = 19 of 18: every scan
    assert pooled_rank(100, 4, 0.9) == 7  # 101 - 94
    assert pooled_rank(99, 1, 0.55) == 45  # 100 * 0.55 is 55, not the 55.00000000000001 of floats
    assert site_rank(58, 0.95, 0.05) == 0
    assert site_rank(59, 0.95, 0.05) == 1  # Wilks: 59 for 95 % / 95 %
    assert site_rank(93, 0.95, 0.05) == 2
    assert binom.cdf(1, 93, 0.05) <= 0.05 < binom.cdf(1, 92, 0.05)


@settings(max_examples=50)
@given(st.lists(st.floats(-12, 12), min_size=1, max_size=60), st.floats(0.1, 0.95))
def test_the_threshold_lies_at_or_below_the_kth_smallest_positive(scores: list[float], target: float) -> None:
    target = round(target, 2)
    ranked = np.sort(scores)
    rule = sensitivity_rule({"a": histogram(ranked)}, target=target)
    k = len(scores) + 1 - math.ceil(round((len(scores) + 1) * target, 9))
    if k < 1:
        assert rule.pooled.log_odds == -np.inf
    else:
        assert rule.pooled.log_odds <= ranked[k - 1]
        assert bin_of(ranked[k - 1 : k])[0] == rule.pooled.bin


@given(st.lists(st.floats(-12, 12), max_size=60), st.integers(0, BINS - 1))
def test_what_is_realised_is_the_share_of_scores_at_or_above(scores: list[float], bin_: int) -> None:
    threshold = Threshold(bin=bin_, rule="site")
    found = realised(histogram(np.array(scores)), threshold)
    assert found == (np.mean(np.array(scores) >= threshold.log_odds) if scores else None)


def test_a_site_with_too_few_positives_takes_the_lowest_threshold_and_is_promised_nothing() -> None:
    rng = np.random.default_rng(1)
    positives = {
        "large": histogram(rng.normal(2, 1, 300)),
        "low": histogram(rng.normal(-1, 1, 200)),
        "small": histogram(rng.normal(1, 1, 20)),
        "none": np.zeros(BINS, np.int64),
    }
    rule = sensitivity_rule(positives, target=0.95, confidence=0.95)
    assert rule.at("large").rule == rule.at("low").rule == "site"
    assert (
        rule.at("small").rule
        == rule.at("none").rule
        == rule.at("unknown").rule
        == rule.at(None).rule
        == "lowest"
    )
    assert rule.at("small").bin == min(rule.pooled.bin, rule.at("large").bin, rule.at("low").bin)
    assert rule.positives_needed == math.ceil(math.log(0.05 / 3) / math.log(0.95)) == 80
    assert rule.guarantee == (
        "With 95 % confidence over the draw of the calibration patients, at least 95 % of the urgent "
        "patients of each of large, low, at all of them at once, are above their site's threshold, as "
        "long as they stay like its calibration ones. For none, small and sites that took no part, which "
        "use the lowest threshold of all, nothing is guaranteed: a threshold of its own takes 80 urgent "
        "patients."
    )


def test_where_no_site_has_enough_nothing_is_promised() -> None:
    rng = np.random.default_rng(1)
    rule = sensitivity_rule({"a": histogram(rng.normal(1, 1, 20))}, target=0.95)
    assert rule.guarantee.startswith("For a and sites that took no part")
    assert rule.at("a").bin == rule.pooled.bin


def test_the_pooled_rule_is_for_everybody_and_says_what_it_does_not_promise() -> None:
    rule = sensitivity_rule(draw(np.random.default_rng(2)), target=0.9, protect="pooled")
    assert {rule.at(site) for site in [*SITES, "unknown", None]} == {rule.pooled}
    assert "at least 90 % are above" in rule.guarantee
    assert rule.guarantee.endswith("For a single site nothing is guaranteed.")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_tiers_stay_in_order_at_every_site_and_are_only_ever_lowered(seed: int) -> None:
    rng = np.random.default_rng(seed)
    positives = {
        str(i): histogram(rng.normal(rng.normal(0, 2), 1, rng.integers(0, 150))) for i in range(4)
    } | {"sure": histogram(rng.normal(size=40))}
    targets = {"urgent": 0.95, "asap": 0.8, "stat": 0.5}
    rules = sensitivity_rules(positives, targets)
    assert list(rules) == list(targets)
    for site in [*positives, None]:
        urgent, asap, stat = (rules[tier].at(site).bin for tier in targets)
        assert urgent <= asap <= stat
    for tier, target in targets.items():
        alone = sensitivity_rule(positives, target=target)
        assert all(rules[tier].at(site).bin <= alone.at(site).bin for site in positives)


def test_a_site_that_has_only_its_upper_tier_is_not_turned_upside_down() -> None:
    rng = np.random.default_rng(0)
    positives = {"high": histogram(rng.normal(4, 0.5, 400)), "low": histogram(rng.normal(-3, 0.5, 12))}
    alone = sensitivity_rule(positives, target=0.8), sensitivity_rule(positives, target=0.5)
    assert alone[0].at("low").bin > alone[1].at("low").bin  # what is to be mended
    rules = sensitivity_rules(positives, {"asap": 0.8, "stat": 0.5})
    assert rules["asap"].at("low").bin == rules["stat"].at("low").bin == alone[1].at("low").bin


def test_a_probability_at_the_edge_is_above_the_threshold() -> None:
    for bin_ in range(BINS):
        threshold = Threshold(bin=bin_, rule="site")
        edge = -30.0 if bin_ == 0 else EDGES[bin_ - 1]
        assert 1 / (1 + math.exp(-edge)) >= threshold.probability


def test_the_rule_survives_json() -> None:
    rule = sensitivity_rule(draw(np.random.default_rng(3)), target=0.9)
    assert SensitivityRule.model_validate_json(rule.model_dump_json()) == rule


def test_unusable_input_is_refused() -> None:
    with pytest.raises(FederationError, match="no urgent patients"):
        sensitivity_rule({"a": np.zeros(BINS, np.int64)}, target=0.9)
    with pytest.raises(DataError, match=r"shape \(3,\)"):
        sensitivity_rule({"a": np.zeros(3, np.int64)}, target=0.9)
    with pytest.raises(DataError, match="must fall"):
        sensitivity_rules(draw(np.random.default_rng(0)), {"urgent": 0.5, "stat": 0.9})
    with pytest.raises(DataError, match="not numbers"):
        histogram(np.array([np.nan]))
