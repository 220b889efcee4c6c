import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from client.drawing import BLUE, ORANGE, SKY
from client.reasons.attribution import Attribution
from client.reasons.pictures import MOST, SCALE, SIDE_PX, STOPS, KeySlice, key_slices
from client.result import Finding
from tests.client.reasons.samples import SHAPE, finding

AFFINE = np.diag([2.0, 3.0, 5.0, 1.0])
AFFINE[:3, 3] = (-40, 7, 100)
BOX = (slice(28, 36), slice(22, 28), slice(4, 6))  # high x is right, high y anterior


def mm(*indices: float) -> tuple[float, float, float]:
    x, y, z, _ = (AFFINE @ [*indices, 1]).tolist()
    return x, y, z


FOUND = finding(diameter_ends_mm=(mm(27.5, 24, 5), mm(35.5, 24, 5)))


def numbered(*boxes: tuple[slice, ...]) -> np.ndarray:
    numbers = np.zeros(SHAPE, np.uint8)
    for number, box in enumerate(boxes, start=1):
        numbers[box] = number
    return numbers


def draw(findings: list[Finding], numbers: np.ndarray, **changes: Any) -> tuple[KeySlice, ...]:
    values: dict[str, Any] = {
        "image": np.zeros((1, *SHAPE), np.float32),
        "probability": (numbers > 0).astype(np.float32),
    }
    values |= {"affine": AFFINE, **changes}
    return key_slices(values.pop("image"), values.pop("probability"), numbers, findings, **values)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def where(png: bytes, colour: tuple[int, int, int]) -> np.ndarray:
    return np.argwhere((pixels(png) == colour).all(axis=2))


def test_right_and_anterior_of_the_patient_are_left_and_up_and_all_is_true_to_the_millimetre() -> None:
    (drawn,) = draw([FOUND], numbered(BOX))
    picture = drawn.pictures[0].png
    height, width = pixels(picture).shape[:2]
    assert max(height, width) == SIDE_PX
    assert height / width == pytest.approx(32 * 3 / (40 * 2), abs=0.01)
    edge = where(picture, ORANGE)
    assert edge[:, 0].max() < height / 2
    assert edge[:, 1].max() < width / 2
    px_per_mm = width / 80
    assert np.ptp(edge[:, 1]) == pytest.approx(8 * 2 * px_per_mm, abs=3)
    assert np.ptp(edge[:, 0]) == pytest.approx(6 * 3 * px_per_mm, abs=3)


def test_the_diameter_is_drawn_where_it_was_measured_in_its_own_slice() -> None:
    image = np.zeros((1, *SHAPE), np.float32)
    image[..., 5] = np.linspace(0, 1, SHAPE[0])[:, None]  # a ramp in the slice of the diameter alone
    (drawn,) = draw([FOUND], numbered(BOX), image=image)
    seen = pixels(drawn.pictures[0].png)
    height, width = seen.shape[:2]
    row, column = round((1 - 24.5 / 32) * height), round((1 - 32 / 40) * width)
    assert (seen[row, column] == 255).all()
    assert seen[height // 2, 30].mean() > seen[height // 2, width - 60].mean()


def test_letters_stand_at_the_four_sides() -> None:
    (drawn,) = draw([FOUND], numbered(BOX))
    for one in drawn.pictures:
        bright = (pixels(one.png) == 255).all(axis=2)
        height = len(bright)
        sides = (bright[:, :20], bright[:, -20:], bright[:20], bright[-20:])
        assert all(side.any() for side in sides)
        assert not bright[height // 2 + 20 : -20, 20:-20].any()  # and nothing else where nothing is


def test_the_probability_has_the_colours_of_its_scale() -> None:
    probability = np.zeros(SHAPE, np.float32)
    for k, stop in enumerate(STOPS):
        probability[8 * k : 8 * k + 8] = stop
    (drawn,) = draw([FOUND], numbered(BOX), probability=probability)
    seen = pixels(drawn.pictures[1].png)
    height, width = seen.shape[:2]
    for k, colour in enumerate(SCALE):
        here = seen[height - 40, width - round((8 * k + 4) / 40 * width)]
        np.testing.assert_allclose(here, 0.6 * np.array(colour), atol=1)
    light = [np.dot((0.299, 0.587, 0.114), colour) for colour in SCALE]
    assert light == sorted(light)  # also without colour more is lighter


def test_what_is_improbable_is_left_as_the_scan_shows_it() -> None:
    (drawn,) = draw([FOUND], numbered(BOX), probability=np.full(SHAPE, 0.04, np.float32))
    seen = pixels(drawn.pictures[1].png)
    assert (seen == seen[..., :1]).all()


def test_the_attribution_is_orange_for_and_blue_against() -> None:
    values = np.zeros(SHAPE, np.float32)
    values[30:33, 23:26, 5], values[4:8, 4:8, 5] = 1, -1
    made = Attribution(values, BOX, 1.0, 0.0)
    (drawn,) = draw([FOUND], numbered(BOX), attributions={1: made})
    picture = drawn.pictures[2].png
    assert where(picture, ORANGE).mean(axis=0) == pytest.approx(
        [(1 - 24.5 / 32) * 384, (1 - 31.5 / 40) * 320], abs=6
    )
    assert where(picture, BLUE).mean(axis=0) == pytest.approx([(1 - 6 / 32) * 384, (1 - 6 / 40) * 320], abs=6)


def test_at_most_five_are_drawn_and_other_findings_are_outlined_in_blue() -> None:
    second = (slice(4, 12), slice(4, 12), slice(4, 6))
    findings = [FOUND.model_copy(update={"number": n + 1}) for n in range(7)]
    drawn = draw(findings, numbered(BOX, second))
    assert [one.finding for one in drawn] == [1, 2, 3, 4, 5][:MOST]
    first, other = (pixels(one.pictures[0].png) for one in drawn[:2])
    low = round((1 - 11.9 / 32) * first.shape[0])
    at = (slice(low, None), slice(round((1 - 11.9 / 40) * first.shape[1]), -30))
    assert (first[at] == SKY).all(axis=2).sum() > 50
    assert (other[at] == ORANGE).all(axis=2).sum() > 50


def test_a_slice_without_contrast_and_a_finding_of_one_voxel_are_drawn() -> None:
    one = (slice(30, 31), slice(24, 25), slice(5, 6))
    (drawn,) = draw([FOUND], numbered(one), image=np.full((2, *SHAPE), 7, np.float32))
    assert len(where(drawn.pictures[0].png, ORANGE)) > 0


def test_texts_say_what_is_to_be_seen_and_files_hold_nothing_but_pixels() -> None:
    (drawn,) = draw([FOUND], numbered(BOX))
    assert drawn.caption == "Finding 1: tumour, right, 31.2 × 22 mm, 8.3 ml; slice 41"
    outlined, probability = drawn.pictures
    assert outlined.alt.startswith("finding 1 (tumour) outlined in axial slice 41")
    assert "91 % on average" in probability.alt
    for one in drawn.pictures:
        with Image.open(io.BytesIO(one.png)) as picture:
            picture.load()
            assert (picture.format, picture.info) == ("PNG", {})
