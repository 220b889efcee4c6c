import json
import math
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import CaseError, ConfigError
from shared.newton import Fit
from shared.priority import (
    CalibratedPriority,
    Features,
    coefficient_names,
    design_matrix,
    prioritise,
    reading_order,
    tier_of,
    usable_rows,
)
from shared.recalibration import Recalibration
from shared.score_bins import BINS
from shared.study import Term, Tiers

TERMS = (
    Term(feature="volume_ml", transform="log1p", centre=1.0, scale=0.5, label="volume", unit="ml"),
    Term(feature="finding_probability", transform="logit"),
    Term(feature="age", centre=60, scale=10),
)
COEFFICIENTS = (-1.5, 1.7, 0.4, 0.3)
MAPS = (
    Recalibration(),
    Recalibration(kind="platt", parameters=(0.3, 0.8, 0.0, 0.0)),
    Recalibration(kind="beta", parameters=(-0.2, 0.0, 0.7, 1.4)),
    Recalibration(kind="isotonic", parameters=tuple(np.linspace(-3, 3, BINS).tolist())),
)
features = st.fixed_dictionaries(
    {
        "volume_ml": st.floats(0, 500),
        "finding_probability": st.floats(0, 1),
        "age": st.one_of(st.none(), st.just(math.nan), st.floats(0, 110)),
    }
)


@settings(deadline=None)
@given(features, st.lists(st.floats(-20, 20), min_size=4, max_size=4), st.sampled_from(MAPS))
def test_intercept_calibration_and_reasons_sum_exactly_to_the_score_in_any_order(
    row: Features, coefficients: list[float], mapping: Recalibration
) -> None:
    found = prioritise(TERMS, coefficients, row, Tiers(), recalibration=mapping)
    raw = math.fsum([found.intercept, *(r.contribution for r in found.reasons)])
    assert found.log_odds == pytest.approx(float(mapping.log_odds(np.array([raw]))[0]), abs=1e-12)
    summands = [found.intercept, found.calibration, *(r.contribution for r in found.reasons)]
    for order in permutations(summands):
        assert math.fsum(order) == found.log_odds
    sizes = [abs(r.contribution) for r in found.reasons]
    assert sizes == sorted(sizes, reverse=True)


@settings(deadline=None)
@given(features)
def test_the_score_is_the_design_matrix_times_the_coefficients(row: Features) -> None:
    found = prioritise(TERMS, COEFFICIENTS, row, Tiers())
    assert found.log_odds == pytest.approx(float(design_matrix(TERMS, [row])[0] @ COEFFICIENTS), abs=1e-12)
    assert found.probability == pytest.approx(1 / (1 + math.exp(-found.log_odds)), abs=1e-12)


@settings(deadline=None)
@given(features, st.sampled_from(["volume_ml", "finding_probability"]), st.floats(0, 1))
def test_more_of_a_feature_with_a_positive_coefficient_never_lowers_the_priority(
    row: dict[str, float], feature: str, share: float
) -> None:
    top = 1.0 if feature == "finding_probability" else 600.0
    more = {**row, feature: min(top, row[feature] + share * (top - row[feature]))}
    before, after = (prioritise(TERMS, COEFFICIENTS, r, Tiers()) for r in (row, more))
    assert after.probability >= before.probability
    tiers = ["routine", "urgent", "asap", "stat"]
    assert tiers.index(after.tier) >= tiers.index(before.tier)


@settings(deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), features, max_size=6))
def test_reading_order_is_by_probability_then_name_whatever_the_order_of_arrival(
    cases: dict[str, Features],
) -> None:
    found = {name: prioritise(TERMS, COEFFICIENTS, row, Tiers()) for name, row in cases.items()}
    order = reading_order(found)
    for first, second in pairwise(order):
        a, b = found[first].probability, found[second].probability
        assert a > b or (a == b and first < second)
    assert order == reading_order(dict(reversed(found.items())))


def test_reasons_read_as_a_doctor_would_say_them() -> None:
    row = {"volume_ml": 3.14, "finding_probability": 0.93, "age": math.nan}
    found = prioritise(TERMS, COEFFICIENTS, row, Tiers())
    assert [r.text for r in found.reasons] == [
        "volume 3.1 ml: +1.43",
        "finding_probability 0.93: +1.03",
        "age not recorded: +0.00",
    ]
    assert found.reasons[-1].value is None
    older = prioritise(TERMS, (0, 0, 0, -0.3), {"age": 72.0}, Tiers())
    assert older.reasons[0].text == "age 72: -0.36"


def test_missing_values_of_every_kind_count_as_the_centre() -> None:
    rows: list[Features] = [{}, {"age": None}, {"age": math.nan}, {"age": 60.0}]
    assert design_matrix(TERMS, rows).tolist() == [[1.0, 0.0, 0.0, 0.0]] * 4
    assert design_matrix(TERMS, []).shape == (0, 4)


def test_saturated_probabilities_stay_finite() -> None:
    design = design_matrix(TERMS, [{"finding_probability": p} for p in (0.0, 1.0)])
    assert design[:, 2] == pytest.approx([math.log(1e-4 / (1 - 1e-4)), -math.log(1e-4 / (1 - 1e-4))])


@pytest.mark.parametrize(
    "row", [{"volume_ml": -1.0}, {"finding_probability": 93.0}, {"age": math.inf}, {"volume_ml": math.inf}]
)
def test_a_value_outside_its_domain_skips_the_case(row: Features) -> None:
    with pytest.raises(CaseError, match="expected a finite value") as caught:
        design_matrix(TERMS, [row])
    assert caught.value.reason == "feature_invalid"


@pytest.mark.parametrize(
    ("probability", "tier"),
    [(0.0, "routine"), (0.2499, "routine"), (0.25, "urgent"), (0.5, "asap"), (0.75, "stat"), (1.0, "stat")],
)
def test_a_bound_belongs_to_the_tier_above_it(probability: float, tier: str) -> None:
    assert tier_of(probability, Tiers()) == tier


def test_names_start_with_the_intercept_and_nothing_else_may_be_called_so() -> None:
    assert coefficient_names(TERMS) == ("intercept", "volume_ml", "finding_probability", "age")
    with pytest.raises(ConfigError, match="Rename"):
        coefficient_names([Term(feature="intercept")])
    with pytest.raises(ConfigError, match="found 3 coefficients, expected 4"):
        prioritise(TERMS, (1, 2, 3), {}, Tiers())


def fitted(*intercepts: str) -> CalibratedPriority:
    names = (*intercepts, *coefficient_names(TERMS)[1:])
    fit = Fit(names, np.arange(len(names)) / 7, np.eye(len(names)) / 4, 5, True, 1.0, 40)
    return CalibratedPriority.from_fit(fit, terms=TERMS, tiers=Tiers(), study="a" * 64)


def test_a_calibrated_priority_survives_json_bit_for_bit() -> None:
    calibrated = fitted("intercept")
    again = CalibratedPriority.parse(json.loads(calibrated.model_dump_json()), "calibration.json")
    assert again == calibrated
    assert again.digest() == calibrated.digest()
    assert set(again.standard_errors.values()) == {0.5}
    row = {"volume_ml": 3.0, "age": 71.0}
    assert again.prioritise(row) == prioritise(
        TERMS, np.arange(4) / 7, row, Tiers(), covariance=np.eye(4) / 4
    )


def test_a_site_is_scored_with_its_own_intercept() -> None:
    calibrated = fitted("intercept[east]", "intercept[west]")
    assert calibrated.prioritise({}, "west").intercept == 1 / 7
    assert calibrated.coefficients_at("east").tolist() == (np.array([0, 2, 3, 4]) / 7).tolist()
    for site in ("north", None):
        with pytest.raises(ConfigError, match="fitted"):
            calibrated.coefficients_at(site)
    assert fitted("intercept").prioritise({}, "north").intercept == 0


@pytest.mark.parametrize("lost", ["intercept", "age"])
def test_a_calibrated_priority_with_a_coefficient_missing_is_refused(lost: str) -> None:
    values = json.loads(fitted("intercept").model_dump_json())
    del values["coefficients"][lost]
    with pytest.raises(ConfigError, match="coefficients must be"):
        CalibratedPriority.parse(values, "calibration.json")


WORDS = (
    Term(feature="age", centre=60, scale=10, lowest=0, highest=120, missing="own_term", unit="years"),
    Term(feature="sex", level="F"),
    Term(feature="prior_cancer", kind="flag", label="prior cancer"),
)
NAMES = ("intercept", "age", "age:missing", "sex=F", "prior_cancer")


def test_a_missing_value_adds_its_own_coefficient_and_is_told() -> None:
    assert coefficient_names(WORDS) == NAMES
    known: Features = {"age": 70.0, "sex=F": 1.0, "prior_cancer": 0.0}
    assert design_matrix(WORDS, [known, {}]).tolist() == [[1, 1, 0, 1, 0], [1, 0, 1, 0, 0]]
    coefficients = (-1.0, 0.3, 0.6, -0.2, 0.9)
    found = prioritise(WORDS, coefficients, known, Tiers())
    assert [r.text for r in found.reasons] == [
        "age 70 years: +0.30",
        "sex F yes: -0.20",
        "prior cancer no: +0.00",
    ]
    assert found.missing == ()
    lost = prioritise(WORDS, coefficients, {}, Tiers())
    assert lost.reasons[0].text == "age not recorded: +0.60"
    assert set(lost.missing) == {"age", "sex F", "prior cancer"}
    assert lost.log_odds == pytest.approx(-0.4)


@pytest.mark.parametrize("age", [-1.0, 412.0, math.inf])
def test_a_value_that_cannot_be_believed_counts_as_missing_and_is_told(age: float) -> None:
    found = prioritise(WORDS, (-1.0, 0.3, 0.6, -0.2, 0.9), {"age": age}, Tiers())
    reason = next(r for r in found.reasons if r.feature == "age")
    assert (reason.value, reason.contribution) == (None, 0.6)
    assert "years not plausible and not used: +0.60" in reason.text
    assert "age" in found.missing


def test_one_bad_row_is_found_without_costing_the_others() -> None:
    rows: list[Features] = [{"volume_ml": 1.0}, {"volume_ml": -1.0}, {}]
    assert usable_rows(TERMS, rows) == [True, False, True]


@pytest.mark.parametrize("mapping", MAPS, ids=lambda m: m.kind)
def test_the_interval_holds_what_draws_of_the_coefficients_give(mapping: Recalibration) -> None:
    rng = np.random.default_rng(5)
    root = rng.normal(size=(4, 4)) / 6
    covariance = root @ root.T
    row = {"volume_ml": 20.0, "finding_probability": 0.8, "age": 75.0}
    found = prioritise(TERMS, COEFFICIENTS, row, Tiers(), recalibration=mapping, covariance=covariance)
    draws = rng.multivariate_normal(COEFFICIENTS, covariance, size=40_000) @ design_matrix(TERMS, [row])[0]
    probabilities = 1 / (1 + np.exp(-mapping.log_odds(draws)))
    assert [found.low, found.high] == pytest.approx(np.quantile(probabilities, [0.025, 0.975]), abs=0.03)
    assert found.low < found.probability < found.high


def test_without_a_covariance_the_interval_is_a_point() -> None:
    found = prioritise(TERMS, COEFFICIENTS, {}, Tiers())
    assert found.low == found.probability == found.high


def calibrated() -> CalibratedPriority:
    """Three intercepts, correlated coefficients, bounds of its own at arden."""
    rng = np.random.default_rng(2)
    names = ("intercept", "intercept[arden]", "intercept[bryn]", *coefficient_names(TERMS)[1:])
    root = rng.normal(size=(6, 6))
    fit = Fit(names, rng.normal(size=6), root @ root.T, 5, True, 1.0, 40)
    found = CalibratedPriority.from_fit(fit, terms=TERMS, tiers=Tiers(urgent=0.1), study="a" * 64)
    return found.model_copy(
        update={
            "recalibration": MAPS[1],
            "site_tiers": {"arden": Tiers(urgent=0.2), "bryn": Tiers(urgent=0.3)},
            "guarantee": "nothing",
            "site_guarantees": {"arden": "much", "bryn": "some"},
            "reference": (1,) * BINS,
            "site_references": {"arden": (2, *[0] * (BINS - 1)), "bryn": (3, *[0] * (BINS - 1))},
        }
    )


@pytest.mark.parametrize("site", ["arden", "bryn", "north", None])
def test_a_site_is_sent_what_it_needs_and_no_more(site: str | None) -> None:
    whole = calibrated()
    own = CalibratedPriority.model_validate_json(whole.at_site(site).model_dump_json())
    assert list(own.coefficients) == list(coefficient_names(TERMS))
    text = own.model_dump_json()
    assert "arden" not in text
    assert "bryn" not in text
    others = {"arden", "bryn"} - {site}
    for other in others:
        assert str(whole.coefficients[f"intercept[{other}]"]) not in text
        assert whole.site_guarantees[other] not in text
    row = {"volume_ml": 9.0, "age": 44.0}
    for name in (site, None, "any other"):  # at home it needs no name any more
        assert own.prioritise(row, name) == whole.prioritise(row, site)
    assert own.tiers_at(site) == whole.tiers_at(site)
    assert own.guarantee_at(site) == whole.guarantee_at(site)


def test_a_site_compares_its_scores_with_its_own_and_one_that_took_no_part_with_those_of_all() -> None:
    whole = calibrated()
    first = {site: whole.at_site(site).reference_counts() for site in ("arden", "bryn", "north", None)}
    assert [None if counts is None else counts[0] for counts in first.values()] == [2, 3, 1, 1]
    assert all(not whole.at_site(site).site_references for site in first)


def test_a_site_that_took_no_part_has_the_common_intercept_and_the_safe_bounds() -> None:
    whole = calibrated()
    found = whole.prioritise({}, "north")
    assert found.intercept == whole.coefficients["intercept"]
    assert whole.tiers_at("north") == Tiers(urgent=0.1)
    assert whole.guarantee_at("north") == "nothing"


def test_a_calibration_from_before_covariances_has_its_standard_errors() -> None:
    values = json.loads(fitted("intercept").model_dump_json())
    for name in ("covariance", "recalibration", "site_tiers", "guarantee", "site_guarantees", "reference"):
        del values[name]
    older = CalibratedPriority.parse(values, "calibration.json")
    assert older.covariance_at().tolist() == (np.eye(4) / 4).tolist()
    assert older.prioritise({}).calibration == 0


def test_a_covariance_of_another_size_is_refused() -> None:
    values = json.loads(fitted("intercept").model_dump_json())
    values["covariance"] = [[1.0]]
    with pytest.raises(ConfigError, match="covariance must be 4 by 4"):
        CalibratedPriority.parse(values, "calibration.json")
