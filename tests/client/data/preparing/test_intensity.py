from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from client.data.preparing.intensity import foreground, scaling
from client.data.preparing.voxels import Counted, Listed, voxels_of
from shared.errors import CaseError
from shared.study import Intensity

ROBUST = Intensity(kind="robust_zscore")
CT = Intensity(kind="ct_window", low_hu=-100, high_hu=300)
SHAPES = st.tuples(*[st.integers(1, 6)] * 3)
WHOLE = arrays(np.float32, SHAPES, elements=st.integers(-40, 40).map(float))
ANY = arrays(np.float32, SHAPES, elements=st.floats(-1e4, 1e4, width=32))


@settings(deadline=None)
@given(WHOLE | ANY, st.floats(0, 100), st.floats(-50, 50))
@example(np.array([[[-0.5, 0, 0, 0]]], np.float32), 0.0, 0.0)  # whole numbers but for the lowest
def test_figures_are_of_all_voxels_exactly(
    image: npt.NDArray[np.float32], percent: float, bound: float
) -> None:
    wide = image.astype(np.float64)
    values, counts = np.unique(image, return_counts=True)
    low = float(image.min())
    body = image[image > low]
    listed = Listed(image.ravel()), Listed(body, image.size - body.size, low)
    for voxels in (voxels_of(image), Counted(values.astype(np.float64), counts), *listed):
        assert voxels.count == image.size
        assert voxels.range() == (wide.min(), wide.max())
        expected = np.percentile(wide, [percent, 50])
        np.testing.assert_allclose(voxels.percentiles(percent, 50), expected, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(voxels.mean_and_std(), (wide.mean(), wide.std()), rtol=1e-9, atol=1e-6)
        above = voxels.above(float(np.float32(bound)))
        assert above.count == (image > np.float32(bound)).sum()
        if above.count:
            larger = wide[image > np.float32(bound)]
            np.testing.assert_allclose(above.percentiles(25)[0], np.percentile(larger, 25), atol=1e-9)


def test_whole_numbers_are_counted_whatever_their_order_in_memory() -> None:
    image = np.random.default_rng(0).integers(-5, 5, (20, 21, 22)).astype(np.float32)
    for turned in (image, np.asfortranarray(image), image[::-1, :, ::-1], image.T):
        found = voxels_of(turned)
        assert isinstance(found, Counted)
        assert found.values.tolist() == list(range(-5, 5))
        assert found.counts.tolist() == [int((image == value).sum()) for value in range(-5, 5)]
    image[-1, -1, -1] += 0.25
    assert isinstance(voxels_of(image), Listed)


def test_the_robust_score_heeds_no_outlier() -> None:
    rng = np.random.default_rng(1)
    image = rng.normal(500, 20, (20, 20, 20)).astype(np.float32)
    body = image[foreground(image)]
    spread = (np.percentile(body, 75) - np.percentile(body, 25)) / 1.349
    expected = np.clip((image - np.median(body)) / spread, -5, 5)
    np.testing.assert_allclose(scaling(image, ROBUST, name="t1").apply(image), expected, atol=1e-4)
    bright = image.copy()
    bright[:2, :2, :2] = 1e6
    middle = scaling(bright, ROBUST, name="t1").apply(bright)[5:, 5:, 5:]
    np.testing.assert_allclose(middle, expected[5:, 5:, 5:], atol=0.05)
    plain = scaling(bright, Intensity(), name="t1").apply(bright)[5:, 5:, 5:]
    assert np.abs(plain - expected[5:, 5:, 5:]).mean() > 0.5


def test_without_spread_the_standard_deviation_stands_in_and_equal_values_are_refused() -> None:
    image = np.zeros((10, 10, 10), np.float32)
    image[2:] = 100
    image[9, 9] = 160
    found = scaling(image, ROBUST, name="t1")
    body = image[image > 1]
    assert (found.found["median"], found.shift) == (100, 100)
    np.testing.assert_allclose(found.divisor, body.std(), rtol=1e-6)
    image[9, 9] = 100
    for intensity in (ROBUST, Intensity()):
        with pytest.raises(CaseError, match="t1: 800 voxels") as caught:
            scaling(image, intensity, name="t1")
        assert caught.value.reason == "empty_image"


@pytest.mark.parametrize("intensity", [Intensity(), ROBUST, CT])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.float32])
def test_integers_and_every_order_in_memory_become_the_very_same(intensity: Intensity, kind: type) -> None:
    rng = np.random.default_rng(2)
    image: npt.NDArray[Any] = np.zeros((70, 60, 40), kind)  # more than one part, in air of one value
    image[5:60, 3:50, 9:30] = rng.integers(1, 250, (55, 47, 21))
    single = image.astype(np.float32)
    one = scaling(single, intensity, name="t1")
    if intensity.kind == "ct_window":
        expected = np.clip((single - np.float32(-100)) / np.float32(400), 0, 1)
    else:
        expected = np.clip((single.astype(np.float64) - one.shift) / one.divisor, -5, 5).astype(np.float32)
    for turned in (image, np.asfortranarray(image), np.asfortranarray(image[::-1, :, ::-1])[::-1, :, ::-1]):
        found = scaling(turned, intensity, name="t1")
        assert found == one
        np.testing.assert_array_equal(found.apply(turned), expected)
        onto = np.full((72, 60, 40), 7, np.float32)
        found.apply(turned, onto[1:-1])
        np.testing.assert_array_equal(onto[1:-1], expected)
        assert (onto[[0, -1]] == 7).all()
        np.testing.assert_array_equal(foreground(turned), foreground(single))
