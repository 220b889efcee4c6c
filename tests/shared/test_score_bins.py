import numpy as np
import pytest

from shared.errors import DataError
from shared.score_bins import BINS, EDGES, bin_of, histogram, lower_edge


def test_an_edge_belongs_to_the_bin_above_it_and_the_ends_are_open() -> None:
    assert bin_of(EDGES).tolist() == list(range(1, BINS))
    assert bin_of(np.nextafter(EDGES, -np.inf)).tolist() == list(range(BINS - 1))
    assert bin_of(np.array([-np.inf, -1e300, 1e300, np.inf])).tolist() == [0, 0, BINS - 1, BINS - 1]


def test_a_bins_lower_edge_is_in_it_and_what_is_below_is_not() -> None:
    for k in range(1, BINS):
        edge = np.array([lower_edge(k)])
        assert bin_of(edge) == k
        assert bin_of(np.nextafter(edge, -np.inf)) == k - 1
    assert lower_edge(0) == -np.inf


def test_edges_are_the_decimals_that_they_are_called() -> None:
    assert [f"{edge:.1f}" == str(edge) for edge in EDGES.tolist()].count(False) == 0
    assert (EDGES[0], EDGES[-1], len(EDGES)) == (-8, 8, BINS - 1)


def test_a_histogram_counts_everybody_once() -> None:
    scores = np.random.default_rng(0).normal(0, 5, 500)
    assert histogram(scores).tolist() == np.histogram(scores, [-np.inf, *EDGES, np.inf])[0].tolist()
    assert histogram(np.zeros(0)).sum() == 0
    with pytest.raises(DataError, match="not numbers"):
        histogram(np.array([np.nan]))
