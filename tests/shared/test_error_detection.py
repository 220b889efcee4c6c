"""The area under the error-detection curve: a share of pairs, the same from sums as from the cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.error_detection import error_shapes, error_sums, finish_errors
from shared.errors import DataError
from shared.sums import Sums

BINS = 20


def by_pairs(uncertainty: np.ndarray, wrong: np.ndarray) -> float:
    """Share of pairs of a wrong and a right case in which the wrong one is less sure; a tie is half."""
    pairs = [(u > v) + (u == v) / 2 for u in uncertainty[wrong] for v in uncertainty[~wrong]]
    return float(np.mean(pairs))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), cases=st.integers(2, 60), sites=st.integers(1, 5))
def test_summed_over_sites_it_is_the_share_of_pairs_within_its_bound(
    seed: int, cases: int, sites: int
) -> None:
    rng = np.random.default_rng(seed)
    uncertainty, wrong = rng.random(cases), rng.random(cases) < 0.4
    wrong[:2] = True, False
    site = rng.integers(0, sites, cases)
    total = Sums.total(error_sums(uncertainty[site == s], wrong[site == s], bins=BINS) for s in range(sites))
    found = finish_errors(total)
    assert (found["cases"], found["errors"]) == (cases, int(wrong.sum()))
    assert abs(found["area"] - by_pairs(uncertainty, wrong)) <= found["area_bound"] + 1e-12
    assert {name: array.shape for name, array in total.values.items()} == error_shapes(BINS)


def test_errors_above_all_others_are_found_and_below_all_others_are_not() -> None:
    doubt, wrong = np.array([0.1, 0.2, 0.8, 1.0]), np.array([False, False, True, True])
    assert finish_errors(error_sums(doubt, wrong, bins=BINS))["area"] == 1
    assert finish_errors(error_sums(doubt, ~wrong, bins=BINS))["area"] == 0
    assert finish_errors(error_sums(np.full(4, 0.5), wrong, bins=BINS))["area"] == 0.5


@pytest.mark.parametrize("wrong", [[], [True, True], [False]])
def test_without_both_kinds_there_is_no_area(wrong: list[bool]) -> None:
    found = finish_errors(error_sums(np.zeros(len(wrong)), np.array(wrong), bins=BINS))
    assert found == {"cases": len(wrong), "errors": sum(wrong), "area": None, "area_bound": None}


def test_what_is_no_uncertainty_is_refused() -> None:
    with pytest.raises(DataError, match="one shape"):
        error_sums(np.zeros(3), np.zeros(2, bool), bins=BINS)
    with pytest.raises(DataError, match=r"0\.\.1"):
        error_sums(np.array([np.nan]), np.zeros(1, bool), bins=BINS)
