import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import drift as module
from shared.drift import drift
from shared.score_bins import BINS, histogram
from shared.sums import IntArray


def scores(rng: np.random.Generator, n: int, *, mean: float = -1.0, spread: float = 1.5) -> IntArray:
    return histogram(rng.normal(mean, spread, n))


def test_a_shift_is_told_in_words() -> None:
    rng = np.random.default_rng(0)
    found = drift(scores(rng, 800), scores(rng, 120, mean=0.5), rng)
    assert found.state == "drift"
    assert found.index is not None
    assert found.index > 0.25
    assert found.p_value == 1 / (module.DRAWS + 1)
    assert found.text.startswith("Recent scores differ from those the calibration was made on: ")
    assert "120 recent and 800 reference scans" in found.text
    assert "ask the coordinator for a new calibration" in found.text


def test_a_spread_alone_is_seen() -> None:
    rng = np.random.default_rng(1)
    assert drift(scores(rng, 800), scores(rng, 150, spread=4), rng).state == "drift"


def test_a_tiny_difference_among_many_scans_is_no_warning() -> None:
    rng = np.random.default_rng(2)
    found = drift(scores(rng, 50_000), scores(rng, 50_000, mean=-0.8), rng)
    assert found.p_value is not None
    assert found.p_value < 0.01
    assert found.state == "none seen"


@pytest.mark.parametrize(
    ("reference", "recent", "which"), [(29, 100, "29 reference"), (100, 29, "29 recent")]
)
def test_few_scans_are_too_few_to_tell(reference: int, recent: int, which: str) -> None:
    rng = np.random.default_rng(3)
    found = drift(scores(rng, reference), scores(rng, recent, mean=5), rng)
    assert (found.state, found.index, found.p_value) == ("too few to tell", None, None)
    assert found.text == f"Too few to tell: {which} scans, at least 30 are needed."


def test_the_p_value_holds_for_small_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAWS", 199)
    rng = np.random.default_rng(4)
    p = np.array([drift(scores(rng, 40), scores(rng, 30), rng).p_value for _ in range(1000)], dtype=float)
    for level in (0.05, 0.1, 0.3):
        assert np.mean(p <= level) <= level + 3 * np.sqrt(level * (1 - level) / 1000)
    assert np.mean(p <= 0.3) > 0.2  # and is not merely never small


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_any_two_histograms_have_an_answer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = np.bincount(rng.integers(0, rng.integers(1, BINS), 60), minlength=BINS)
    other = np.bincount(rng.integers(rng.integers(0, BINS - 1), BINS, 60), minlength=BINS)
    found = drift(one, other, rng)
    assert found.index is not None
    assert found.index >= 0
    assert found.p_value is not None
    assert 0 < found.p_value <= 1
    assert drift(one, one, rng).state == "none seen"


def test_scores_that_are_all_the_same_are_as_alike_as_can_be() -> None:
    rng = np.random.default_rng(5)
    same = np.zeros(BINS, np.int64)
    same[40] = 50
    found = drift(same, same, rng)
    assert (found.p_value, found.index) == (1, 0)
