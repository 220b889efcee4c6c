from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.data.windows import Case, WindowSource, epoch
from shared.study import Training
from shared.unlabelled import UNLABELLED


def training(**changes: Any) -> Training:
    return Training.model_validate({"batch_size": 2, "window": (4, 4, 4), **changes})


def numbered(shape: tuple[int, int, int], first: int = 1, channels: int = 1) -> Case:
    """A case whose voxels all differ, none 0, with one labelled voxel."""
    last = first + channels * int(np.prod(shape))
    image = np.arange(first, last, dtype=np.float32).reshape(channels, *shape)
    label = np.zeros(shape, np.uint8)
    label[shape[0] // 3, shape[1] // 2, -1] = 3
    return image, label


def test_an_epoch_shows_every_case_once_in_random_order() -> None:
    cases = [numbered((6, 6, 6), 1000 * number + 1) for number in range(5)]
    orders = set()
    for seed in range(5):
        batches = list(epoch(cases, training=training(), dimensions=3, rng=np.random.default_rng(seed)))
        assert [batch.image.shape for batch in batches] == [(2, 1, 4, 4, 4)] * 2 + [(1, 1, 4, 4, 4)]
        assert [batch.label.shape for batch in batches] == [(2, 4, 4, 4)] * 2 + [(1, 4, 4, 4)]
        assert {batch.label.dtype for batch in batches} == {np.dtype(np.uint8)}
        order = [int(image.max()) // 1000 for batch in batches for image in batch.image]
        assert sorted(order) == list(range(5))
        orders.add(tuple(order))
    assert len(orders) > 1


def test_equal_generators_give_equal_epochs_and_no_two_windows_are_alike() -> None:
    cases = [numbered((16, 16, 16))]

    def first(seed: int) -> Any:
        return next(epoch(cases, training=training(), dimensions=3, rng=np.random.default_rng(seed))).image

    np.testing.assert_array_equal(first(1), first(1))
    rng = np.random.default_rng(0)
    windows = [
        next(epoch(cases, training=training(), dimensions=3, rng=rng)).image.tobytes() for _ in range(8)
    ]
    assert len(set(windows)) > 4


@settings(deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    window=st.tuples(*[st.integers(1, 9)] * 3),
    seed=st.integers(0, 2**32),
    tumour_fraction=st.sampled_from([0.0, 1.0]),
    channels=st.integers(1, 3),
    points=st.booleans(),
)
def test_a_window_is_a_cut_of_the_case_with_the_lowest_value_of_each_channel_around(
    *,
    shape: tuple[int, int, int],
    window: tuple[int, int, int],
    seed: int,
    tumour_fraction: float,
    channels: int,
    points: bool,
) -> None:
    image, label = numbered(shape, channels=channels)
    if points:
        label[label == 0] = UNLABELLED
    settings_ = training(window=window, tumour_fraction=tumour_fraction)
    source = WindowSource([(image, label)], points=points)
    patch, mask = source.draw(0, training=settings_, rng=np.random.default_rng(seed))
    assert (patch.shape, mask.shape) == ((channels, *window), window)
    # The slow, obvious way: air all around the case, and every place the window could have been cut from.
    margins = [(side, side) for side in window]
    wide = np.stack([np.pad(one, margins, constant_values=one.min()) for one in image])
    marks = np.pad(label, margins, constant_values=UNLABELLED if points else 0)
    found = [
        start
        for start in np.ndindex(*(np.array(shape) + window + 1))
        if np.array_equal(marks[cut := tuple(map(slice, start, np.add(start, window)))], mask)
        and np.array_equal(wide[(slice(None), *cut)], patch)
    ]
    seen = [np.minimum(np.add(s, window), np.add(window, shape)) - np.maximum(s, window) for s in found]
    assert any(extent.tolist() == np.minimum(shape, window).tolist() for extent in seen)  # as much as fits
    assert tumour_fraction == 0 or 3 in mask


def test_the_tumour_fraction_is_the_share_of_windows_sent_to_the_tumour() -> None:
    image, label = numbered((40, 40, 40))
    source = WindowSource([(image, label)])
    rng = np.random.default_rng(0)
    for wanted in (0.0, 0.5, 1.0):
        settings_ = training(tumour_fraction=wanted)
        share = np.mean([source.draw(0, training=settings_, rng=rng)[1].any() for _ in range(400)])
        assert abs(share - wanted) < 0.08


def test_every_labelled_voxel_can_be_the_centre() -> None:
    label = np.zeros((12, 12, 12), np.uint8)
    label[[0, 6, 11], [11, 6, 0], [3, 4, 5]] = 1
    source = WindowSource([(np.ones((1, 12, 12, 12), np.float32), label)])
    assert source.labelled(0).tolist() == np.flatnonzero(label).tolist()
    rng = np.random.default_rng(0)
    small = training(window=(1, 1, 1), tumour_fraction=1)
    assert all(source.draw(0, training=small, rng=rng)[1].all() for _ in range(50))


def test_among_points_those_of_background_are_sought_as_well() -> None:
    label = np.full((9, 9, 9), UNLABELLED, np.uint8)
    label[2, 3, 4], label[6, 5, 0] = 0, 1
    case = (np.ones((1, 9, 9, 9), np.float32), label)
    source = WindowSource([case], points=True)
    small, rng = training(window=(1, 1, 1), tumour_fraction=1), np.random.default_rng(0)
    seen = [int(source.draw(0, training=small, rng=rng)[1].item()) for _ in range(200)]
    assert set(seen) == {0, 1}
    assert 60 < sum(seen) < 140


def test_a_case_without_a_tumour_is_shown_as_well() -> None:
    case = (np.ones((1, 8, 8, 8), np.float32), np.zeros((8, 8, 8), np.uint8))
    batch = next(
        epoch([case], training=training(tumour_fraction=1), dimensions=3, rng=np.random.default_rng(0))
    )
    assert batch.image.all()
    assert not batch.label.any()


def test_two_dimensions_take_one_slice_of_each_case() -> None:
    cases = [numbered((6, 7, 9)) for _ in range(3)]
    flat = training(window=(4, 4, 1))
    batches = list(epoch(cases, training=flat, dimensions=2, rng=np.random.default_rng(0)))
    assert [batch.image.shape for batch in batches] == [(2, 1, 4, 4), (1, 1, 4, 4)]
    assert [batch.label.shape for batch in batches] == [(2, 4, 4), (1, 4, 4)]


@pytest.mark.parametrize("flip", [False, True])
def test_mirroring_turns_left_and_right_of_image_and_label_together(flip: bool) -> None:
    image = np.arange(64, dtype=np.float32).reshape(1, 4, 4, 4)
    case = (np.concatenate([image, 100 - image]), image[0].astype(np.uint8))
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(20):
        batch = next(epoch([case], training=training(flip=flip), dimensions=3, rng=rng))
        np.testing.assert_array_equal(batch.image[0], np.stack([batch.label[0], 100 - batch.label[0]]))
        mirrored = bool(batch.image[0, 0, 0, 0, 0])
        np.testing.assert_array_equal(batch.image[0, 0], image[0][::-1] if mirrored else image[0])
        seen.add(mirrored)
    assert seen == ({False, True} if flip else {False})


def test_no_cases_make_an_empty_epoch() -> None:
    assert list(epoch([], training=training(), dimensions=3, rng=np.random.default_rng(0))) == []
