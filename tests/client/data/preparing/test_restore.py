"""A mask on the common grid returns to the scan's own: the same voxels at the same place in the world."""

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.data.preparing.preprocess import preprocess
from client.data.preparing.restore import restore
from shared.errors import CaseError
from shared.study import Model, Preprocessing, Task
from tests.client.data.scans import picture, scan_of

TASK = Task(classes=("head", "body"))
MODEL = Model(channels=(4, 8, 16))
AXES = ("RAS", "LPS", "ASR", "IRA", "SAL", "PIL")
Affine = npt.NDArray[np.float64]


def turned(angles: tuple[float, float, float]) -> Affine:
    """A rotation by three small angles in radians, (4, 4)."""
    matrix = np.eye(4)
    for axis, angle in enumerate(angles):
        i, j = [other for other in range(3) if other != axis]
        one = np.eye(4)
        one[i, i] = one[j, j] = np.cos(angle)
        one[i, j], one[j, i] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ one
    return matrix


@st.composite
def affines(draw: st.DrawFn, shape: tuple[int, int, int] = (9, 10, 11)) -> Affine:
    """Oblique, flipped and permuted, with spacings and an origin of their own."""
    spacing = draw(st.tuples(*[st.floats(0.4, 4)] * 3))
    origin = draw(st.tuples(*[st.floats(-200, 200)] * 3))
    ras = turned(draw(st.tuples(*[st.floats(-0.4, 0.4)] * 3))) @ np.diag([*spacing, 1.0])
    ras[:3, 3] = origin
    ornt = nib.orientations.axcodes2ornt(tuple(draw(st.sampled_from(AXES))))
    affine: Affine = ras @ nib.orientations.inv_ornt_aff(ornt, shape)
    return affine


def one_by_one(
    mask: npt.NDArray[np.uint8], prepared: Affine, shape: tuple[int, ...], affine: Affine
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """The slow obvious way: each voxel of the scan through the world; and which lie on a border of two."""
    result, border = np.zeros(shape, mask.dtype), np.zeros(shape, bool)
    back = np.linalg.inv(prepared)
    for index in np.ndindex(*shape):
        position = (back @ (affine @ [*index, 1]))[:3]
        border[index] = (np.abs(position - np.floor(position) - 0.5) < 1e-4).any()
        nearest = np.rint(position).astype(int)
        if ((nearest >= 0) & (nearest < mask.shape)).all():
            result[index] = mask[tuple(nearest)]
    return result, border


@settings(deadline=None, max_examples=25)
@given(affines(), st.data())
def test_it_agrees_with_every_voxel_through_the_world(affine: Affine, data: st.DataObject) -> None:
    image, label = picture(data.draw(st.integers(0, 9)))
    chosen = Preprocessing(
        spacing_mm=data.draw(st.none() | st.tuples(*[st.floats(0.8, 3)] * 3)),
        slices=data.draw(st.none() | st.sampled_from([4, 16])),
        long_series=data.draw(st.sampled_from(["resample", "groups"])),
        shape=data.draw(st.none() | st.sampled_from([(8, 8, 8), (16, 12, 20)])),
    )
    done = preprocess(scan_of(image, label, affine), chosen, TASK, MODEL)
    assert done.label is not None
    mask = np.random.default_rng(0).integers(0, 3, done.label.shape).astype(np.uint8)
    found = restore(mask, done.affine, image.shape, affine)
    expected, border = one_by_one(mask, done.affine, image.shape, affine)
    assert found.shape == image.shape
    assert found.flags.c_contiguous
    assert found.dtype == mask.dtype
    np.testing.assert_array_equal(found[~border], expected[~border])


@settings(deadline=None, max_examples=50)
@given(
    affines(),
    st.sampled_from([None, (16, 16, 16), (12, 20, 24)]),
    st.sampled_from([None, 16, 24]),
    st.booleans(),
)
def test_without_resampling_the_label_comes_back_as_it_was(
    affine: Affine, shape: tuple[int, int, int] | None, slices: int | None, crop: bool
) -> None:
    image, label = picture(3)
    chosen = Preprocessing(shape=shape, slices=slices, crop_foreground=crop)
    done = preprocess(scan_of(image, label, affine), chosen, TASK, MODEL)
    assert done.label is not None
    back = restore(done.label, done.affine, image.shape, affine)
    assert back.shape == label.shape
    kept = restore(np.ones_like(done.label), done.affine, image.shape, affine) > 0  # the rest was cut off
    np.testing.assert_array_equal(back[kept], label[kept])
    assert not back[~kept].any()
    if np.count_nonzero(done.label) == np.count_nonzero(label):
        np.testing.assert_array_equal(back, label)
        assert np.bincount(back.ravel()).tolist() == np.bincount(label.ravel()).tolist()


def test_grids_that_have_nothing_to_do_with_each_other_are_refused() -> None:
    with pytest.raises(CaseError, match="parallel axes") as caught:
        restore(np.zeros((4, 4, 4), np.uint8), np.eye(4), (40, 40, 40), turned((0.1, 0, 0)))
    assert caught.value.reason == "affine_mismatch"
