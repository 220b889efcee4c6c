import numpy as np
import numpy.typing as npt
import pytest

from client.data.check import check_grid, check_image
from client.data.volumes import Volume, spacing_mm
from shared.errors import CaseError
from shared.study import Task
from tests.client.data.scans import affine_of, check_pair, picture

TASK = Task(classes=("head", "body"))


def volume(array: npt.ArrayLike, shift_mm: float = 0.0) -> Volume:
    affine = affine_of(1, 1, 1)
    affine[0, 3] += shift_mm
    return Volume(np.asarray(array, np.float32), affine)


def refusal(image: Volume, label: Volume, task: Task = TASK) -> CaseError:
    with pytest.raises(CaseError) as caught:
        check_pair(image, label, task, case="case-7")
    assert "case-7" in str(caught.value)
    return caught.value


def test_float_labels_that_round_to_integers_are_fine() -> None:
    image, label = picture(0)
    found = check_pair(volume(image), volume(label + np.float32(1e-5)), TASK, case="c")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, label)


def test_file_values_become_class_indices() -> None:
    task = Task(classes=("whole", "core"), labels=((2,), (1, 4)))
    label = np.array([[[0, 1, 2, 4, 4]]])
    found = check_pair(volume(np.arange(5).reshape(1, 1, 5)), volume(label), task, case="c")
    np.testing.assert_array_equal(found, [[[0, 2, 1, 2, 2]]])


@pytest.mark.parametrize("values", [[0, 3], [0, 0.5], [-1, 0], [0, 1e30], [0, 70000]])
def test_other_label_values_are_refused_with_the_values_found(values: list[float]) -> None:
    error = refusal(volume([[[1, 2]]]), volume([[values]]))
    assert error.reason == "label_values"
    odd = next(value for value in values if value not in (0, 1, 2))
    assert f"{odd:g}" in str(error)
    assert "[0, 1, 2]" in str(error)


def test_different_grids_are_refused_with_both_grids() -> None:
    image, label = picture(0)
    error = refusal(volume(image), volume(label[:-1]))
    assert error.reason == "shape_mismatch"
    assert "(9, 10, 11)" in str(error)
    assert "(8, 10, 11)" in str(error)
    error = refusal(volume(image), volume(label, shift_mm=0.25))
    assert error.reason == "affine_mismatch"
    assert "-20.0" in str(error)
    assert "-19.75" in str(error)
    assert "0.25 mm off" in str(error)


@pytest.mark.parametrize(("share", "fits"), [(0.049, True), (0.051, False)])
def test_grids_that_differ_by_rounding_are_one(share: float, fits: bool) -> None:
    image, label = (volume(array) for array in picture(0))
    smallest_mm = float(spacing_mm(image.affine).min())
    far = np.array(image.shape) - 1
    shifted, stretched = image.affine.copy(), image.affine.copy()
    shifted[1, 3] += share * smallest_mm
    stretched[:3, 2] *= 1 + share * smallest_mm / (far[2] * spacing_mm(image.affine)[2])
    for affine in (shifted, stretched):  # of a stretched grid the far corner counts
        other = Volume(label.array, affine)
        if fits:
            check_grid(image, other, case="c")
        else:
            with pytest.raises(CaseError, match="mm off"):
                check_grid(image, other, case="c")


def test_nan_and_constant_images_are_refused() -> None:
    image, label = picture(0)
    image[0, 0, 0] = np.nan
    assert refusal(volume(image), volume(label)).reason == "not_finite"
    with pytest.raises(CaseError, match="1 voxels"):
        check_image(volume(image), case="c")
    assert refusal(volume(np.full((2, 2, 2), 7)), volume(np.zeros((2, 2, 2)))).reason == "empty_image"
    label = label.astype(np.float32)
    label[0, 0, 0] = np.inf
    assert refusal(volume(picture(0)[0]), volume(label)).reason == "not_finite"


def test_a_label_without_any_finding_is_fine() -> None:
    image, _ = picture(0)
    assert not check_pair(volume(image), volume(np.zeros(image.shape)), TASK, case="c").any()
