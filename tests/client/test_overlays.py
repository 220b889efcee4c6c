from pathlib import Path

import numpy as np
from PIL import Image

from client.overlays import PREDICTION, REFERENCE, SIDE_PX, overlay, write_overlay

SHAPE = (16, 12, 8)


def scan() -> np.ndarray:
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def marked(*box: slice) -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[box] = 1
    return label


def where(picture: Image.Image, colour: tuple[int, int, int]) -> np.ndarray:
    return np.argwhere((np.asarray(picture) == colour).all(axis=2))


def test_anterior_is_up_and_the_patients_right_is_on_the_left() -> None:
    right_front = marked(slice(12, 15), slice(8, 11), slice(3, 4))  # RAS: high x is right, high y anterior
    picture = overlay(scan(), right_front, np.zeros(SHAPE, np.uint8))
    row, column = where(picture, REFERENCE).mean(axis=0)
    assert row < picture.height / 3
    assert column < picture.width / 3


def test_reference_and_prediction_have_their_colours_and_places() -> None:
    reference = marked(slice(10, 14), slice(2, 6), slice(3, 4))
    prediction = marked(slice(2, 6), slice(2, 6), slice(3, 4))
    picture = overlay(scan(), reference, prediction)
    assert where(picture, REFERENCE)[:, 1].max() < where(picture, PREDICTION)[:, 1].min()


def test_only_the_outline_is_drawn_so_that_the_scan_shows_through() -> None:
    picture = overlay(scan(), marked(slice(2, 12), slice(2, 10), slice(3, 4)), np.zeros(SHAPE, np.uint8))
    factor = SIDE_PX // 16
    assert 0 < len(where(picture, REFERENCE)) < 0.5 * 80 * factor**2


def test_the_slice_with_most_marks_is_shown_and_the_middle_without_any() -> None:
    image = np.zeros(SHAPE, np.float32)
    image[:8, :, 6] = 1  # a step in one slice only
    empty = np.zeros(SHAPE, np.uint8)
    assert np.asarray(overlay(image, empty, empty)).max() == 0
    assert np.asarray(overlay(image, marked(slice(0, 2), slice(0, 2), slice(6, 7)), empty)).max() == 255


def test_a_picture_without_contrast_is_drawn_in_grey() -> None:
    empty = np.zeros(SHAPE, np.uint8)
    assert overlay(np.full(SHAPE, 7, np.float32), empty, empty).size == (16 * 16, 12 * 16)


def test_the_file_is_a_png_without_text(tmp_path: Path) -> None:
    empty = np.zeros(SHAPE, np.uint8)
    write_overlay(tmp_path / "overlays" / "best.png", overlay(scan(), empty, empty))
    with Image.open(tmp_path / "overlays" / "best.png") as picture:
        picture.load()
        assert (picture.format, picture.info) == ("PNG", {})
    assert [p.name for p in (tmp_path / "overlays").iterdir()] == ["best.png"]
