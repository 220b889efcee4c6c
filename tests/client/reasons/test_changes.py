import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.reasons.changes import PLAUSIBLE, TIERS, changes, in_words, plausible, unknowns
from shared.priority import CalibratedPriority, Features, Priority, tier_of
from shared.study import NETWORK_FEATURES, Term, Tiers

TERMS = (
    Term(
        feature="largest_diameter_mm",
        transform="log1p",
        centre=2,
        label="largest finding",
        unit="mm",
        highest=60,
    ),
    Term(feature="finding_probability", transform="logit"),
    Term(feature="finding_count"),
    Term(feature="age", centre=60, scale=10, lowest=0, highest=110, unit="years"),
    Term(feature="prior_cancer", kind="flag", label="prior cancer"),
    Term(feature="sex", level="F"),
    Term(feature="marker", label="marker"),
)
NAMES = [term.name for term in TERMS]


class Stepped(CalibratedPriority):
    """Under a calibration map that is a stair, as an isotonic one."""

    def prioritise(self, features: Features, site: str | None = None) -> Priority:
        found = super().prioritise(features, site)
        log_odds = math.floor(found.log_odds)
        probability = 1 / (1 + math.exp(-log_odds))
        tier = tier_of(probability, self.tiers)
        return replace(found, log_odds=log_odds, probability=probability, tier=tier)


def scored(
    slopes: list[float], intercept: float = 0.0, kind: type[CalibratedPriority] = CalibratedPriority
) -> Any:
    coefficients = {"intercept": intercept, **dict(zip(NAMES, slopes, strict=True))}
    return kind(
        terms=TERMS,
        coefficients=coefficients,
        standard_errors=dict.fromkeys(coefficients, 0.1),
        tiers=Tiers(),
        patients=50,
        study="0" * 64,
    )


def decimals(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high).map(lambda value: round(value, 1))


scans = st.fixed_dictionaries(
    {
        "largest_diameter_mm": decimals(0, 60),
        "finding_probability": st.floats(0, 1).map(lambda value: round(value, 2)),
        "finding_count": st.integers(0, 12).map(float),
        "age": st.one_of(st.none(), decimals(0, 110)),
        "prior_cancer": st.sampled_from([0.0, 1.0, None]),
        "sex=F": st.sampled_from([0.0, 1.0, math.nan]),
        "marker": st.one_of(st.none(), decimals(-5, 5)),
    }
)
fits = st.builds(
    scored,
    st.lists(st.floats(-2, 2), min_size=len(TERMS), max_size=len(TERMS)),
    st.floats(-4, 4),
    st.sampled_from([CalibratedPriority, Stepped]),
)


def told_values(start: float, end: float, *, whole: bool) -> Iterator[float]:
    """Every value that would be told on the way from `start` to `end`: slow and obvious."""
    up = end > start
    hundredths = range(math.ceil(start * 100), round(end * 100) + 1) if up else None
    for k in hundredths or range(math.floor(start * 100), round(end * 100) - 1, -1):
        value = k / 100
        grain = 100 if whole or abs(value) >= 10 else 10 if abs(value) >= 1 else 1
        if k % grain == 0 and value != start:
            yield value


@settings(deadline=None, max_examples=150)
@given(fits, scans)
def test_each_change_is_the_nearest_that_can_be_told_and_none_is_left_out(
    priority: CalibratedPriority, scan: dict[str, float | None]
) -> None:
    now = priority.prioritise(scan).tier
    found = {(c.feature, c.value > (scan[c.feature] or 0)): c for c in changes(priority, scan)}
    for term in priority.terms:
        value = scan[term.name]
        if value is None or math.isnan(value):
            continue
        ends = (0.0, 1.0) if term.is_flag else plausible(term)
        for up, end in enumerate(ends):
            change = found.pop((term.name, bool(up)), None)
            steps = (
                []
                if math.isinf(end) or end == value
                else [end]
                if term.is_flag
                else told_values(value, end, whole=term.name == "finding_count")
            )
            nearest = next(
                (v for v in steps if priority.prioritise({**scan, term.name: v}).tier != now), None
            )
            assert (change.value if change else None) == nearest
            if change is not None:
                assert priority.prioritise({**scan, term.name: change.value}).tier == change.tier != now
    assert found == {}


@settings(deadline=None)
@given(fits, scans, st.floats(0, 1))
def test_a_missing_value_stays_within_what_was_said_of_it(
    priority: CalibratedPriority, scan: dict[str, float | None], share: float
) -> None:
    for unknown in unknowns(priority, scan):
        recorded = dict(scan)
        for term in priority.terms:
            if (term.label or term.name.replace("=", " ")) in unknown.labels:
                low, high = (0.0, 1.0) if term.is_flag else plausible(term)
                recorded[term.name] = round(share) if term.is_flag else low + share * (high - low)
        rank = TIERS.index(priority.prioritise(recorded).tier)
        assert TIERS.index(unknown.lowest) <= rank <= TIERS.index(unknown.highest)


SCAN = {"largest_diameter_mm": 18.0, "finding_probability": 0.5, "finding_count": 1.0, "age": 60.0}
SLOPES = [3.0, 0.0, 0.0, 0.0, 1.2, 0.0, 0.0]


def test_changes_read_as_a_doctor_would_say_them() -> None:
    priority = scored(SLOPES, -4.0)
    assert in_words(priority, {**SCAN, "prior_cancer": 1.0, "sex=F": 1.0, "marker": 1.0}) == (
        "stat if largest finding were 27 mm or more (now 18 mm)",
        "urgent if largest finding were 17 mm or less (now 18 mm)",
        "routine if prior cancer were no (now yes)",
    )


def test_what_was_not_recorded_is_told_with_what_it_could_do() -> None:
    told = in_words(scored(SLOPES, -3.9), {**SCAN, "age": None})
    assert "prior cancer is not recorded: with it, urgent to asap" in told
    assert "age is not recorded: with it, stays urgent" in told
    assert "age, prior cancer and sex F are not recorded: with them, urgent to asap" in told
    assert not any("marker" in text for text in told)  # its range is open: nothing can be said


def test_a_value_that_is_not_believed_is_not_changed_but_missing() -> None:
    priority = scored([0, 0, 0, 3.0, 0, 0, 0])
    assert changes(priority, {"age": 700.0}) == ()
    assert ("age",) in [unknown.labels for unknown in unknowns(priority, {"age": 700.0})]


def test_a_word_of_a_column_takes_the_place_of_another() -> None:
    """Stage III instead of II: with both at once it would be stat."""
    terms = tuple(Term(feature="stage", level=level) for level in ("II", "III"))
    coefficients = {"intercept": -1.0, "stage=II": 0.5, "stage=III": 1.7}
    priority = CalibratedPriority(
        terms=terms,
        coefficients=coefficients,
        standard_errors=dict.fromkeys(coefficients, 0.1),
        tiers=Tiers(),
        patients=50,
        study="0" * 64,
    )
    assert in_words(priority, {"stage=II": 1.0, "stage=III": 0.0}) == ("asap if stage III were yes (now no)",)


def test_every_network_feature_has_a_range() -> None:
    assert set(PLAUSIBLE) == set(NETWORK_FEATURES)


@pytest.mark.parametrize(
    ("term", "ends"),
    [
        (Term(feature="volume_ml", transform="log1p", highest=100), (0, 100)),
        (Term(feature="age", lowest=0), (0, math.inf)),
        (Term(feature="marker", transform="log1p"), (0, math.inf)),
        (Term(feature="marker", transform="logit", lowest=-1), (0, 1)),
        (Term(feature="marker"), (-math.inf, math.inf)),
    ],
)
def test_a_range_is_the_studys_within_the_transforms(term: Term, ends: tuple[float, float]) -> None:
    assert plausible(term) == ends
