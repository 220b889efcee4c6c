import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.data.preparing import memory
from client.data.preparing.memory import as_stored, box_above, parts

AXES = st.permutations(range(3))
TURNS = st.tuples(*[st.sampled_from([1, -1])] * 3)


def turned(array: npt.NDArray[np.int16], axes: list[int], steps: tuple[int, ...]) -> npt.NDArray[np.int16]:
    """The same kind of array in another order in memory."""
    return array.transpose(axes)[tuple(slice(None, None, step) for step in steps)]


@given(st.integers(0, 2**32), st.tuples(*[st.integers(1, 6)] * 3), AXES, TURNS, st.integers(0, 4))
def test_the_box_holds_all_that_is_above_and_is_no_larger(
    seed: int, shape: tuple[int, int, int], axes: list[int], steps: tuple[int, ...], bound: int
) -> None:
    rng = np.random.default_rng(seed)
    array = turned(rng.integers(0, 5, shape).astype(np.int16), axes, steps)
    array[rng.random(array.shape) < 0.8] = 0
    found = np.argwhere(array > bound)
    box = box_above(array, bound)
    if len(found) == 0:
        assert array[box].size == 0
    else:
        assert [part.start for part in box] == found.min(axis=0).tolist()
        assert [part.stop for part in box] == (found.max(axis=0) + 1).tolist()


@given(AXES, TURNS)
def test_an_array_as_stored_is_contiguous_and_not_copied(axes: list[int], steps: tuple[int, ...]) -> None:
    array = turned(np.arange(24, dtype=np.int16).reshape(2, 3, 4), axes, steps)
    stored = as_stored(array)
    assert stored.ravel().tolist() == list(range(24))
    assert np.shares_memory(stored, array)


@pytest.mark.parametrize(("at_once", "expected"), [(1, [1] * 5), (25, [2, 2, 1]), (1000, [5])])
def test_parts_cover_all_arrays_once(
    at_once: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "AT_ONCE", at_once)
    one, other = np.arange(60).reshape(4, 5, 3), np.zeros((2, 5), int)
    for part, onto in parts(1, one, other):
        np.add(onto, part[:2].sum(axis=2), out=onto)
    assert [part.shape[1] for (part,) in parts(1, one)] == expected
    np.testing.assert_array_equal(other, one[:2].sum(axis=2))
