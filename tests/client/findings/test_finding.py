"""From probabilities to findings: what counts, how much of it there is, and what each finding is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from client.data.preparing.restore import restore
from client.result import Finding
from tests.client.findings.grids import (
    AXES,
    Shape,
    certain,
    ellipsoid,
    found_at,
    found_in,
    origins,
    placed,
    small_angles,
    spacings,
    stored,
    study_of,
)

SPACING_MM = (1.0, 2.0, 5.0)  # 0.01 ml a voxel


def picture() -> np.ndarray:
    """Organ of 27 voxels; tumours of 8, of 2 that touch at a corner, and of 1."""
    label = np.zeros((16, 16, 16), np.uint8)
    label[1:4, 1:4, 1:4] = 1
    label[8:10, 8:10, 8:10] = 2
    label[12, 12, 12] = label[13, 13, 13] = 2
    label[15, 0, 15] = 2
    return label


def test_volume_and_count_are_those_of_the_finding_classes() -> None:
    found = found_at(certain(picture()), study_of(finding=["tumour"]), SPACING_MM)
    assert found.volume_ml == pytest.approx(0.11)
    assert found.finding_count == 3  # corner neighbours belong together
    np.testing.assert_array_equal(found.segmentation, picture())
    every = found_at(certain(picture()), study_of(), SPACING_MM)
    assert [every.finding_count, every.volume_ml] == pytest.approx([4, 0.38])
    assert every.features == {
        "finding_probability": every.finding_probability,
        "volume_ml": every.volume_ml,
        "finding_count": 4.0,
        "largest_diameter_mm": pytest.approx(np.hypot(2, 6)),  # the organ, three voxels a side
        "sum_of_diameters_mm": 0.0,  # none of 10 mm
        "largest_volume_ml": pytest.approx(0.27),
    }


def test_a_small_component_is_no_finding_and_leaves_the_segmentation() -> None:
    study = study_of(minimum_ml=0.05, finding=["tumour"])
    found = found_at(certain(picture()), study, SPACING_MM)
    assert [found.finding_count, found.volume_ml] == pytest.approx([1, 0.08])
    assert int((found.segmentation == 2).sum()) == 8
    assert int((found.segmentation == 1).sum()) == 27  # never a finding, so never removed


def test_a_component_of_exactly_the_minimum_is_a_finding() -> None:
    study = study_of(minimum_ml=0.02, finding=["tumour"])
    assert found_at(certain(picture()), study, SPACING_MM).finding_count == 2


def test_one_noisy_voxel_is_not_a_certain_finding() -> None:
    label = np.zeros((16, 16, 16), np.uint8)
    label[5, 5, 5] = 2
    study = study_of(finding=["tumour"])
    assert found_at(certain(label, 1.0), study, SPACING_MM).finding_probability < 0.05
    label[4:7, 4:7, 4:7] = 2
    assert found_at(certain(label, 1.0), study, SPACING_MM).finding_probability == pytest.approx(1)


def test_a_scan_without_findings_has_none() -> None:
    found = found_at(certain(np.zeros((16, 16, 1), np.uint8), 1.0), study_of(), SPACING_MM)
    assert (found.finding_probability, found.volume_ml, found.finding_count) == (0, 0, 0)
    assert found.findings == ()
    assert set(found.features.values()) == {0.0}


def test_findings_are_numbered_from_the_largest_and_told_with_all_their_voxels() -> None:
    found = found_in(picture(), affine=SPACING_MM)
    assert [(f.number, f.voxels) for f in found.findings] == [(1, 8), (2, 2), (3, 1)]
    assert [f.volume_ml for f in found.findings] == pytest.approx([0.08, 0.02, 0.01])
    assert [int((found.components == n).sum()) for n in (1, 2, 3)] == [8, 2, 1]
    assert found.components.dtype == np.uint8
    assert found.findings[0].centroid_mm == pytest.approx((8.5, 17.0, 42.5))
    assert all(f.uncertainty is None for f in found.findings)


def test_a_finding_has_the_class_of_most_of_its_voxels_and_the_probability_of_all_classes() -> None:
    found = np.zeros((3, 6, 6, 6), np.float32)
    found[:, 1:4, 1, 1] = [[0.1] * 3, [0.2, 0.5, 0.3], [0.7, 0.4, 0.5]]
    found[:, 1, 2, 1] = 0.3, 0.4, 0.3  # a finding, though no class of it is as probable as background is
    found[0] = 1 - found[1:].sum(axis=0)
    (one,) = found_at(found, study_of()).findings
    assert one.name == "organ"  # two of each: the first of the study's classes
    assert one.voxels == 4
    assert one.mean_probability == pytest.approx((0.9 + 0.9 + 0.8 + 0.7) / 4)
    assert one.highest_probability == pytest.approx(0.9)
    found[:, 1, 2, 1] = 0.3, 0.3, 0.4
    (one,) = found_at(found, study_of()).findings
    assert one.name == "tumour"


def test_the_sum_counts_the_five_longest_of_ten_millimetres_and_more() -> None:
    label = np.zeros((40, 40, 30), np.uint8)
    lengths = (9, 10, 11, 12, 13, 14, 30)
    for place, length in enumerate(lengths):
        label[:length, 0, 4 * place] = 2
    assert found_in(label).sum_of_diameters_mm == pytest.approx(11 + 12 + 13 + 14 + 30)
    assert found_in(label[:, :, :16]).features["sum_of_diameters_mm"] == pytest.approx(10 + 11 + 12)
    thick = found_in(label, affine=(1, 1, 6.5))  # measurable from two slices on
    assert thick.sum_of_diameters_mm == pytest.approx(13 + 14 + 30)
    assert found_in(label, affine=(1, 1, 5)).sum_of_diameters_mm == pytest.approx(80)


@settings(deadline=None, max_examples=25)
@given(spacing=spacings, angles=small_angles, origin=origins, axes=st.sampled_from(AXES))
def test_a_turned_and_flipped_scan_holds_the_same_findings_at_their_place(
    spacing: tuple[float, float, float],
    angles: tuple[float, float, float],
    origin: tuple[float, float, float],
    axes: str,
) -> None:
    shape = (14, 13, 12)
    label = ellipsoid(shape, (1, 1, 1), (5, 6, 5), (4, 3, 2))
    straight = found_in(label, affine=spacing).findings[0]
    affine = placed(spacing, angles, origin)
    of_files, files_shape = stored(affine, shape, axes)
    found = found_in(label, affine=affine, source_affine=of_files, source_shape=files_shape)
    (one,) = found.findings
    assert one.volume_ml == pytest.approx(straight.volume_ml)
    assert one.diameter_mm == pytest.approx(straight.diameter_mm)
    assert one.short_axis_mm == pytest.approx(straight.short_axis_mm)
    assert one.centroid_mm == pytest.approx(tuple((affine @ [5, 6, 5, 1])[:3]))
    start, end = np.array(one.diameter_ends_mm)
    assert np.linalg.norm(end - start) == pytest.approx(one.diameter_mm)
    along_normal = np.linalg.inv(affine)[2, :3] @ (np.array([start, end]) - affine[:3, 3]).T
    np.testing.assert_allclose(along_normal, 5, atol=1e-6)  # both ends in the slice through its middle
    expected = (3, 7, 5) if "S" in axes else (4, 8, 6)  # counted from the feet, or from the head
    assert (one.first_slice, one.last_slice, one.diameter_slice) == expected


@st.composite
def resampled(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, Shape, np.ndarray]:
    """A mask on a prepared grid with its affine; shape and affine of the files it was made from."""
    shape: Shape = draw(st.tuples(*[st.integers(4, 9)] * 3))
    files: Shape = draw(st.tuples(*[st.integers(2, 14)] * 3))
    ras = placed(draw(spacings), draw(small_angles), draw(origins))
    step = np.array(draw(st.tuples(*[st.floats(0.4, 2.5)] * 3)))
    move = np.diag([*step, 1.0])
    move[:3, 3] = (np.array(files) - 1) / 2 - step * (np.array(shape) - 1) / 2
    seed = draw(st.integers(0, 10**6))
    mask = ndimage.uniform_filter(np.random.default_rng(seed).random(shape), 3) > 0.55
    of_files, files_shape = stored(ras, files, draw(st.sampled_from(AXES)))
    return np.where(mask, 2, 0).astype(np.uint8), ras @ move, files_shape, of_files


@settings(deadline=None, max_examples=60)
@given(scan=resampled())
def test_slices_are_those_in_which_the_mask_of_the_files_shows_the_finding(
    scan: tuple[np.ndarray, np.ndarray, Shape, np.ndarray],
) -> None:
    label, affine, files_shape, of_files = scan
    found = found_in(label, affine=affine, source_affine=of_files, source_shape=files_shape)
    axial = int(np.abs(of_files[2, :3] / np.linalg.norm(of_files[:3, :3], axis=0)).argmax())
    back = restore(found.components, affine, files_shape, of_files)
    numbers = 1 + np.arange(label.size).reshape(label.shape)
    all_seen = np.isin(numbers, restore(numbers, affine, files_shape, of_files)).all()
    for one in found.findings:
        assert 0 <= one.first_slice <= one.diameter_slice <= one.last_slice < files_shape[axial]
        seen = np.unique(np.argwhere(back == one.number)[:, axial])
        # Where the files' voxels are coarser, a part may fall between them: never outside these slices.
        assert set(seen) <= set(range(one.first_slice, one.last_slice + 1))
        if all_seen:
            assert (seen[0], seen[-1]) == (one.first_slice, one.last_slice)


def box(*limits: tuple[int, int], shape: Shape = (12, 12, 12)) -> np.ndarray:
    label = np.zeros(shape, np.uint8)
    label[tuple(slice(*limit) for limit in limits)] = 2
    return label


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("part", [(0, 3), (9, 12)])
def test_a_finding_at_any_outer_face_touches_the_border(axis: int, part: tuple[int, int]) -> None:
    limits = [(4, 6)] * 3
    assert not one_of(box(*limits)).touches_border
    limits[axis] = part
    assert one_of(box(*limits)).touches_border
    limits[axis] = (1, 11)
    assert not one_of(box(*limits)).touches_border


def one_of(label: np.ndarray, **grids: object) -> Finding:
    (one,) = found_in(label, **grids).findings  # type: ignore[arg-type]
    return one


def test_the_border_is_where_the_scan_ends_or_where_the_study_cropped_it() -> None:
    label = box((4, 6), (4, 6), (2, 5))
    padded = np.diag([1.0, 1.0, 1.0, 1.0])
    padded[2, 3] = -2.0  # two slices of air below the first of the files
    files = np.eye(4)
    assert one_of(label, affine=padded, source_affine=files, source_shape=(12, 12, 10)).touches_border
    above = box((4, 6), (4, 6), (3, 5))
    assert not one_of(above, affine=padded, source_affine=files, source_shape=(12, 12, 10)).touches_border
    cropped = files.copy()
    cropped[2, 3] = 5.0
    at_face = box((4, 6), (4, 6), (0, 2))
    assert one_of(at_face, affine=cropped, source_affine=files, source_shape=(12, 12, 30)).touches_border


def test_a_single_slice_has_no_border_above_or_below() -> None:
    one = one_of(box((4, 6), (3, 9), (0, 1), shape=(12, 12, 1)), affine=(2, 2, 2))
    assert not one.touches_border
    assert one.diameter_mm == pytest.approx(np.hypot(2, 12))
    assert (one.first_slice, one.last_slice) == (0, 0)
    assert one_of(box((0, 6), (3, 9), (0, 1), shape=(12, 12, 1))).touches_border


@pytest.mark.parametrize("axes", AXES)
def test_sides_are_the_patients_however_the_file_is_stored(axes: str) -> None:
    shape = (12, 10, 8)
    affine = placed((2, 2, 2), (0, 0, 0), (-90, 20, 5))
    of_files, files_shape = stored(affine, shape, axes)

    def side(first: int, last: int) -> str:
        label = box((first, last), (3, 5), (3, 5), shape=shape)
        return one_of(label, affine=affine, source_affine=of_files, source_shape=files_shape).side

    assert side(0, 5) == "left"
    assert side(6, 12) == "right"
    assert side(3, 9) == "midline"
    assert side(5, 9) == "right"  # three quarters of it
    assert side(5, 8) == "midline"


def test_the_scan_ends_at_the_outer_face_of_its_last_slice() -> None:
    files = np.diag([1.0, 1.0, 3.0, 1.0])
    files[2, 3] = 1.0  # four slices of 3 mm, each as long as three of the prepared
    grids = {"affine": (1, 1, 1), "source_affine": files, "source_shape": (12, 12, 4)}
    assert not one_of(box((4, 6), (4, 6), (1, 11)), **grids).touches_border
    assert one_of(box((4, 6), (4, 6), (0, 11)), **grids).touches_border
