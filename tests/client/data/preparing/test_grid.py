import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from client.data.preparing.grid import Grid
from tests.client.data.scans import affine_of, picture


def made(seed: int, shape: tuple[int, int, int]) -> Grid:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 4, shape).astype(np.uint8)
    return (
        Grid(tuple(picture(seed + i, shape)[0] for i in range(2)), label, affine_of(1, 1, 2))
        if min(shape) > 8
        else Grid(tuple(rng.normal(size=(2, *shape)).astype(np.float32)), label, affine_of(1, 1, 2))
    )


@settings(deadline=None, max_examples=40)
@given(
    st.tuples(*[st.integers(1, 7)] * 3),
    st.tuples(*[st.integers(1, 9)] * 3),
    st.tuples(*[st.floats(0.3, 3)] * 3),
)
def test_resampling_agrees_with_scipy(
    shape: tuple[int, int, int], new: tuple[int, int, int], steps: tuple[float, float, float]
) -> None:
    grid = made(0, shape)
    step = np.array(steps)
    done = grid.resampled(new, step)
    start = (np.array(shape) - 1) / 2 - step * (np.array(new) - 1) / 2
    for channel, found in zip(grid.channels, done.channels, strict=True):
        expected = ndimage.affine_transform(
            channel.astype(np.float64),
            step,
            start,
            output_shape=new,
            order=1,
            mode="nearest",
            prefilter=False,
        )
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert done.label is not None
    assert done.label.shape == new
    assert grid.label is not None
    for index in np.ndindex(*new):
        position = np.clip(start + step * index, 0, np.array(shape) - 1)
        if (np.abs(position - np.floor(position) - 0.5) > 1e-6).all():
            assert done.label[index] == grid.label[tuple(np.rint(position).astype(int))]


def shares(count: int, groups: int) -> npt.NDArray[np.float64]:
    """How much of each slice lies in each group, by cutting both into equal parts: (groups, count)."""
    result = np.zeros((groups, count))
    for part in range(count * groups):  # each slice has `groups` parts, each group `count`
        result[part // count, part // groups] += 1 / count
    return result


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 24), st.data())
def test_each_group_is_the_mean_of_its_share_and_its_label_the_largest(
    count: int, data: st.DataObject
) -> None:
    groups = data.draw(st.integers(1, count - 1))
    grid = made(1, (3, 4, count))
    done = grid.grouped(groups)
    weights = shares(count, groups)
    for channel, found in zip(grid.channels, done.channels, strict=True):
        np.testing.assert_allclose(found, channel @ weights.T, atol=1e-4)
    assert done.label is not None
    assert grid.label is not None
    for x, y, k in np.ndindex(3, 4, groups):
        votes = [weights[k][grid.label[x, y] == index].sum() for index in range(4)]
        best = max(range(4), key=lambda index: (round(votes[index], 9), index))
        assert done.label[x, y, k] == best
    np.testing.assert_allclose(
        done.affine @ [1, 1, (groups - 1) / 2, 1], grid.affine @ [1, 1, (count - 1) / 2, 1]
    )


def test_each_channel_is_padded_with_its_own_air() -> None:
    grid = made(2, (9, 9, 9))
    done = grid.placed(np.array([-2, 0, 0]), np.array([9, 9, 9]))
    for channel, found in zip(grid.channels, done.channels, strict=True):
        assert (found[:2] == channel.min()).all()
        np.testing.assert_array_equal(found[2:], channel[:7])
    assert done.label is not None
    assert not done.label[:2].any()
    np.testing.assert_array_equal(done.affine[:3, 3], grid.affine[:3, 3] - [2, 0, 0])


def test_small_integers_and_the_order_in_memory_change_nothing() -> None:
    rng = np.random.default_rng(3)
    label = rng.integers(0, 4, (9, 10, 11)).astype(np.uint8) * (rng.random((9, 10, 11)) < 0.02)
    channel = rng.integers(0, 60000, (9, 10, 11)).astype(np.uint16)
    grid = Grid((channel.astype(np.float32),), label.astype(np.uint8), affine_of(1, 1, 2))
    turned = Grid((np.asfortranarray(channel),), np.asfortranarray(grid.label), grid.affine)
    assert (
        grid.count(3).tolist() == turned.count(3).tolist() == [(label == index).sum() for index in (1, 2, 3)]
    )
    start, shape = np.array([-2, 0, 3]), np.array([9, 9, 14])
    for first, second in (
        (grid.resampled((6, 7, 8), np.full(3, 1.5)), turned.resampled((6, 7, 8), np.full(3, 1.5))),
        (grid.placed(start, shape), turned.placed(start, shape)),
    ):
        np.testing.assert_array_equal(first.channels[0], second.channels[0])
        assert first.label is not None
        assert second.label is not None
        np.testing.assert_array_equal(first.label, second.label)
        assert second.channels[0].dtype == np.float32
