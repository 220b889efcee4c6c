import io
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from client.data import formats
from client.data.inspection.contact_sheet import LONE_SIDE_PX, SIDE_PX, Marks, colour_of, pictures_of
from client.data.inspection.facts import Picture
from client.data.volumes import Affine, Volume
from client.drawing import COLOURS
from tests.client.data.formats.samples import oblique
from tests.client.data.scans import affine_of, write_scan

SHAPE = (20, 24, 28)
AFFINE = affine_of(1, 1, 1)


def pixels(picture: Picture) -> np.ndarray:
    """(height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB"))


def where(picture: Picture, colour: tuple[int, int, int]) -> np.ndarray:
    return np.argwhere((pixels(picture) == colour).all(axis=2))


def box(*slices: slice, value: int = 1, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    array = np.zeros(shape, np.int32)
    array[slices] = value
    return array


def turned(array: np.ndarray, axes: str) -> tuple[np.ndarray, Affine]:
    """The same RAS voxels, stored in the orientation `axes`."""
    image = nib.Nifti1Image(array, AFFINE)
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(AFFINE), nib.orientations.axcodes2ornt(tuple(axes))
    )
    stored = image.as_reoriented(turn)
    return np.asarray(stored.dataobj), stored.affine


@pytest.mark.parametrize("axes", ["RAS", "LPS", "LAS", "PIR", "SAL"])
def test_the_letters_are_true_however_the_scan_is_stored(axes: str) -> None:
    """A cube at the right, front, top of the patient is at R, A and S of each plane."""
    bright = box(slice(14, 18), slice(17, 22), slice(20, 26))
    image, affine = turned(bright.astype(np.float32), axes)
    marks = Marks(voxels=turned(bright, axes)[0])
    drawn = pictures_of(Volume(image, affine), marks)
    assert [picture.plane for picture in drawn] == ["axial", "coronal", "sagittal"]
    for picture in drawn:
        left, _, top, _ = picture.letters
        assert (left, top) == {"axial": ("R", "A"), "coronal": ("R", "S"), "sagittal": ("A", "S")}[
            picture.plane
        ]
        height, width = pixels(picture).shape[:2]
        row, column = np.argwhere(pixels(picture).sum(axis=2) > 380).mean(axis=0)
        assert row < height / 2
        assert column < width / 2


def test_a_plane_is_true_to_millimetres() -> None:
    volume = Volume(np.random.default_rng(0).random((10, 20, 5), np.float32), affine_of(2, 1, 8))
    sizes = {picture.plane: pixels(picture).shape[:2] for picture in pictures_of(volume, None)}
    assert sizes == {
        "axial": (SIDE_PX, SIDE_PX),
        "coronal": (SIDE_PX, SIDE_PX // 2),
        "sagittal": (SIDE_PX, SIDE_PX // 2),
    }


def test_each_value_is_outlined_in_its_colour_and_shows_the_scan_inside() -> None:
    label = box(slice(2, 8), slice(4, 20), slice(4, 24)) + box(
        slice(12, 18), slice(4, 20), slice(4, 24), value=2
    )
    image = np.full(SHAPE, 7, np.float32)
    axial = pictures_of(Volume(image, AFFINE), Marks(voxels=label))[0]
    one, two = where(axial, colour_of(1)), where(axial, colour_of(2))
    assert one[:, 1].min() > two[:, 1].max()  # lower x is the patient's left, at the right of the picture
    scale = SIDE_PX / SHAPE[1]
    for outlined in (one, two):
        assert 40 * scale < len(outlined) < 50 * scale  # around 6 x 16 voxels
    assert colour_of(1) != colour_of(2)


def test_a_label_of_one_voxel_is_seen_in_a_scan_that_is_drawn_smaller() -> None:
    shape = (600, 500, 20)
    label = box(slice(311, 312), slice(77, 78), slice(13, 14), shape=shape)
    drawn = pictures_of(Volume(np.zeros(shape, np.float32), affine_of(1, 1, 5)), Marks(voxels=label))
    assert all(len(where(picture, colour_of(1))) for picture in drawn)


def test_a_ring_is_cut_where_it_is_although_its_middle_is_empty() -> None:
    label = box(slice(2, 4)) + box(slice(16, 18))
    sagittal = pictures_of(Volume(np.zeros(SHAPE, np.float32), AFFINE), Marks(voxels=label))[2]
    assert len(where(sagittal, colour_of(1)))


def test_points_are_dots_of_their_label_on_the_planes_that_they_are_near() -> None:
    image, affine = turned(np.zeros(SHAPE, np.float32), "LPS")
    points = np.array([[3, 4, 5, 1], [10, 12, 14, 0], [11, 12, 14, 0]])
    axial = pictures_of(Volume(image, affine), Marks(points=points))[0]
    assert len(where(axial, colour_of(0)))
    assert not len(where(axial, colour_of(1)))  # nine slices away
    row, column = where(axial, colour_of(0)).mean(axis=0) / pixels(axial).shape[:2]
    assert row == pytest.approx(12.5 / 24, abs=0.02)  # stored from front to back, as drawn
    assert column == pytest.approx(11 / 20, abs=0.02)


def test_a_photograph_is_one_larger_picture_in_colour_without_letters() -> None:
    array = np.zeros((3, 30, 20, 1), np.float32)
    array[0, :10] = 255  # red at the left
    (picture,) = pictures_of(Volume(array, np.diag([-1.0, -1, 1, 1])), None, is_body=False)
    assert picture.letters == ()
    assert pixels(picture).shape == (round(LONE_SIDE_PX / 30 * 20), LONE_SIDE_PX, 3)
    assert pixels(picture)[100, 20].tolist() == [255, 0, 0]
    assert pixels(picture)[100, -20].tolist() == [0, 0, 0]


def test_a_plane_that_is_a_line_is_left_out() -> None:
    thin = Volume(np.random.default_rng(0).random((200, 200, 3), np.float32), AFFINE)
    assert [picture.plane for picture in pictures_of(thin, None)] == ["axial"]
    wire = Volume(np.random.default_rng(0).random((200, 1, 1), np.float32), AFFINE)
    assert len(pictures_of(wire, None)) == 1


@pytest.mark.parametrize("value", [7.0, np.nan, np.inf])
def test_a_scan_without_contrast_or_sense_is_drawn_all_the_same(value: float) -> None:
    assert len(pictures_of(Volume(np.full(SHAPE, value, np.float32), AFFINE), None)) == 3


def test_an_oblique_scan_is_drawn_along_its_own_axes(tmp_path: Path) -> None:
    affine = oblique(1, 1.5, 2)
    path = write_scan(tmp_path / "a.nii", np.random.default_rng(0).random(SHAPE, np.float32), affine)
    assert len(pictures_of(formats.read(path), None)) == 3


def test_colours_take_turns_for_ever() -> None:
    assert all(colour_of(value) in COLOURS for value in (0, 1, 6, 7, 255, 65536))
