import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from client.data import formats
from client.data.preparing.intensity import foreground
from client.data.preparing.preprocess import Prepared, preprocess
from shared.errors import CaseError
from shared.study import Intensity, Model, Preprocessing, Task
from tests.client.data.scans import affine_of, check_pair, picture, scan_of, write_scan

TASK = Task(classes=("head", "body"))
MODEL = Model(channels=(4, 8, 16))  # multiples of 4


def prepared(
    image: npt.NDArray[Any],
    label: npt.NDArray[Any] | None,
    *spacing_mm: float,
    model: Model = MODEL,
    **settings: Any,
) -> Prepared:
    scan = scan_of(image, label, affine_of(*(spacing_mm or (1, 1, 1))))
    return preprocess(scan, Preprocessing(**settings), TASK, model)


def where(affine: npt.NDArray[np.float64], mask: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """World position in mm of the centre of a mask."""
    position: npt.NDArray[np.float64] = affine[:3, :3] @ np.argwhere(mask).mean(axis=0) + affine[:3, 3]
    return position


def test_every_orientation_gives_the_identical_result(tmp_path: Path) -> None:
    image, label = picture(3)
    results = []
    for axes in ("RAS", "LPS", "ASR"):
        scan = formats.read(write_scan(tmp_path / f"{axes}.nii.gz", image, affine_of(1, 1.5, 2), axes=axes))
        mask = formats.read(
            write_scan(tmp_path / f"{axes}-label.nii.gz", label, affine_of(1, 1.5, 2), axes=axes)
        )
        indices = check_pair(scan, mask, TASK, case=axes)
        read = scan_of(scan.array, indices, scan.affine)
        results.append(preprocess(read, Preprocessing(spacing_mm=(1, 1, 1)), TASK, MODEL))
    for other in results[1:]:
        np.testing.assert_array_equal(other.image, results[0].image)
        np.testing.assert_array_equal(other.label, results[0].label)
        np.testing.assert_array_equal(other.affine, results[0].affine)
        np.testing.assert_array_equal(other.reference_voxels, results[0].reference_voxels)


def test_sides_are_padded_up_to_the_stride_of_the_network() -> None:
    image, label = picture(0)
    done = prepared(image, label)
    assert done.image.shape == (1, 12, 12, 12)
    assert done.label is not None
    assert done.label.shape == (12, 12, 12)
    assert done.image.dtype == np.float32
    assert done.label.dtype == np.uint8
    flat = prepared(image, label, model=Model(dimensions=2, channels=(4, 8, 16)))
    assert flat.image.shape == (1, 12, 12, 11)


def test_a_matching_spacing_leaves_every_voxel_as_it_was() -> None:
    image, label = picture(0)
    done = prepared(image, label, 1.0005, 1, 1, spacing_mm=(1, 1, 1), intensity=Intensity(kind="ct_window"))
    np.testing.assert_array_equal(
        done.image[0, 2:11, 1:11, 1:], np.clip((image + 160) / 400, 0, 1).astype(np.float32)
    )


@settings(deadline=None, max_examples=30)
@given(st.tuples(*[st.floats(0.4, 3)] * 3), st.tuples(*[st.floats(0.5, 2)] * 3))
def test_resampling_agrees_with_sampling_at_the_world_position_of_each_voxel(
    old_mm: tuple[float, float, float], new_mm: tuple[float, float, float]
) -> None:
    image, label = picture(1, (6, 7, 9))
    done = prepared(
        image, label, *old_mm, spacing_mm=new_mm, intensity=Intensity(kind="ct_window"), crop_foreground=False
    )
    np.testing.assert_allclose(done.spacing_mm, new_mm, atol=1.1e-3)
    index = np.stack(np.meshgrid(*map(np.arange, done.image.shape[1:]), indexing="ij"))
    world = np.einsum("ij,jxyz->ixyz", done.affine[:3, :3], index) + done.affine[:3, 3, None, None, None]
    back = np.linalg.inv(affine_of(*old_mm))
    source = np.einsum("ij,jxyz->ixyz", back[:3, :3], world) + back[:3, 3, None, None, None]
    expected = ndimage.map_coordinates(image, source, order=1, mode="nearest")
    expected = np.clip((expected + 160) / 400, 0, 1)
    limits = np.array(image.shape)[:, None, None, None]
    inside = ((source >= -0.5) & (source <= limits - 0.5)).all(axis=0)  # the rest is padding
    np.testing.assert_allclose(done.image[0][inside], expected[inside], atol=1e-3)
    assert inside.sum() >= 0.9 * np.prod(np.maximum(np.rint(np.array(image.shape) * old_mm / new_mm), 1))


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_a_mask_written_back_lies_where_the_label_lay(data: st.DataObject) -> None:
    image, label = picture(2, (12, 12, 12))
    spacing = data.draw(st.tuples(*[st.sampled_from([0.5, 1.0, 2.0])] * 3))
    shape = data.draw(st.none() | st.tuples(*[st.sampled_from([12, 16, 24])] * 3))
    slices = data.draw(st.none() | st.sampled_from([8, 12, 24]))
    done = prepared(image, label, 1, 1, 1, spacing_mm=spacing, shape=shape, slices=slices)
    assert done.label is not None
    if done.reference_voxels.sum() == (done.label > 0).sum():  # nothing was cut off
        moved = where(done.affine, done.label) - where(affine_of(1, 1, 1), label)
        assert np.abs(moved).max() <= max(done.spacing_mm)


def test_resampling_keeps_the_centre_of_the_field_of_view() -> None:
    image = picture(2, (12, 12, 12))[0]
    for options in ({"spacing_mm": (2, 3, 0.5)}, {"slices": 4}):
        done = prepared(image, None, crop_foreground=False, **options)
        np.testing.assert_allclose(
            where(done.affine, np.ones(done.image.shape[1:])), where(affine_of(1, 1, 1), image > -1e9)
        )


def test_z_scores_are_of_the_foreground_and_clipped() -> None:
    image, label = picture(0, (20, 20, 20))
    image = np.pad(image, 10)  # air
    image[0, 0, 0], image[15, 15, 15] = -1, 1e6
    inside = foreground(image)
    assert inside.sum() >= 7990
    done = prepared(image, np.pad(label, 10), intensity=Intensity(), crop_foreground=False)
    assert done.image.max() == 5
    noise = np.random.default_rng(0).normal(100, 10, (20, 20, 20))
    calm = prepared(np.pad(noise, 10), None, crop_foreground=False)
    np.testing.assert_allclose(
        calm.image[0, 10:30, 10:30, 10:30], (noise - noise.mean()) / noise.std(), atol=1e-4
    )
    assert calm.label is None
    assert calm.reference_voxels.tolist() == [0, 0]


def test_intensity_units_do_not_matter_to_z_scores() -> None:
    image, label = picture(4)
    one, other = prepared(image, label), prepared(image * 7000 - 300, label)
    np.testing.assert_allclose(one.image, other.image, atol=1e-4)


def test_the_foreground_crop_takes_air_away_and_the_affine_along() -> None:
    image, label = picture(5, (8, 8, 8))
    wide, mask = np.pad(image, ((5, 9), (2, 0), (0, 7))), np.pad(label, ((5, 9), (2, 0), (0, 7)))
    done = prepared(wide, mask)
    np.testing.assert_allclose(
        done.image, prepared(image, label).image, atol=0.02
    )  # its minimum is no foreground
    np.testing.assert_array_equal(done.affine[:3, 3], affine_of(1, 1, 1)[:3, 3] + [5, 2, 0])
    assert prepared(wide, mask, crop_foreground=False).image.shape == (1, 24, 12, 16)


def test_what_a_crop_cuts_off_still_counts() -> None:
    image, label = picture(6)
    whole = [int((label == index).sum()) for index in (1, 2)]
    done = prepared(image, label, shape=(4, 4, 4))
    assert done.label is not None
    assert done.reference_voxels.tolist() == whole
    assert (done.label == 1).sum() < whole[0]
    dark = image.copy()
    dark[:4] = 0  # the crop takes half of the label for air
    done = prepared(dark, label)
    assert done.label is not None
    assert done.reference_voxels.tolist() == whole
    assert (done.label > 0).sum() < sum(whole)
    assert prepared(dark, label, slices=22).reference_voxels.tolist() == whole
    thinned = prepared(np.repeat(image, 2, axis=2), np.repeat(label, 2, axis=2), slices=11)
    assert np.abs(thinned.reference_voxels - whole).max() <= 4


def test_every_patient_gets_the_same_number_of_slices() -> None:
    image, label = picture(7, (9, 10, 30))
    flat = Model(dimensions=2, channels=(4, 8))
    done = prepared(image, label, 1, 1, 2, slices=12, model=flat)
    assert done.image.shape[-1] == 12
    np.testing.assert_allclose(done.spacing_mm, [1, 1, 5])


def test_hounsfield_units_become_zero_to_one() -> None:
    image = np.linspace(-1000, 1000, 4**3).reshape(4, 4, 4)
    done = prepared(image, None, intensity=Intensity(kind="ct_window"), crop_foreground=False)
    np.testing.assert_allclose(done.image[0], np.clip((image + 160) / 400, 0, 1), atol=1e-6)
    with pytest.raises(CaseError, match="above -160") as caught:
        prepared(image - 2000, None, intensity=Intensity(kind="ct_window"))
    assert caught.value.reason == "empty_image"


def test_a_spacing_that_would_blow_a_scan_up_is_refused() -> None:
    with pytest.raises(CaseError) as caught:
        prepared(picture(0)[0], None, 50, 50, 50, spacing_mm=(0.01, 0.01, 0.01))
    assert caught.value.reason == "too_large"


def test_a_shorter_series_is_padded_at_both_ends_and_never_stretched() -> None:
    image, label = picture(7, (9, 10, 6))
    done = prepared(image, label, 1, 1, 3, slices=9, crop_foreground=False, model=Model(dimensions=2))
    alone = prepared(image, label, 1, 1, 3, crop_foreground=False, model=Model(dimensions=2))
    assert done.label is not None
    np.testing.assert_array_equal(done.image[..., 2:8], alone.image)
    for pad in (done.image[..., :2], done.image[..., 8:]):
        assert (pad == alone.image.min()).all()
    assert not done.label[..., :2].any()
    np.testing.assert_allclose(done.spacing_mm, [1, 1, 3])
    np.testing.assert_array_equal(done.reference_voxels, alone.reference_voxels)


def test_channels_are_normalised_each_by_itself_and_cropped_together() -> None:
    one, label = picture(8, (12, 12, 12))
    other = picture(9, (12, 12, 12))[0] * 1000
    one[:, :, 8:], other[:4] = 0, 0  # each lacks what the other has
    task = Task(classes=("head", "body"), channels=("t1", "t2"))
    chosen = Preprocessing(shape=(12, 12, 12))
    done = preprocess(scan_of(np.stack([one, other]), label, affine_of(1, 1, 1)), chosen, task, MODEL)
    assert done.image.shape == (2, 12, 12, 12)
    for channel, raw in zip(done.image, (one, other), strict=True):
        body = raw[foreground(raw)].astype(np.float64)
        expected = np.clip((raw - body.mean()) / body.std(), -5, 5)
        np.testing.assert_allclose(channel, expected, atol=1e-4)  # nothing cropped: one of them is there


def test_every_step_is_recorded_with_what_was_found() -> None:
    image, label = picture(5, (8, 8, 8))
    wide, mask = np.pad(image, ((5, 9), (2, 0), (0, 7))), np.pad(label, ((5, 9), (2, 0), (0, 7)))
    scan = scan_of(wide, mask, affine_of(-1, 1, 2))
    done = preprocess(scan, Preprocessing(spacing_mm=(1, 1, 1), slices=12, shape=(16, 16, 16)), TASK, MODEL)
    steps = {step["what"]: step for step in done.steps}
    assert list(steps) == ["orientation", "spacing", "intensity", "crop", "slices", "placed"]
    assert json.loads(json.dumps(done.steps)) == list(done.steps)
    assert (steps["orientation"]["from"], steps["orientation"]["to"]) == ("LAS", "RAS")
    assert (steps["spacing"]["from_mm"], steps["spacing"]["to_mm"]) == ([1, 1, 2], [1, 1, 1])
    assert (steps["spacing"]["from_shape"], steps["spacing"]["to_shape"]) == ([22, 10, 15], [22, 10, 30])
    (channel,) = steps["intensity"]["channels"]
    assert channel["channel"] == "image"
    assert channel["low"] > channel["above"]
    assert 80 < channel["mean"] < 130
    assert steps["crop"]["start"] == [9, 2, 0]
    assert (steps["slices"]["how"], steps["slices"]["from"], steps["slices"]["to"]) == ("resample", 17, 12)
    assert steps["placed"]["to_shape"] == [16, 16, 16]
