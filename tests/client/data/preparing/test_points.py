from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.data.preparing.points import painted, points_by_class
from client.data.preparing.preprocess import preprocess
from shared.errors import CaseError
from shared.study import Model, Preprocessing, Task
from shared.unlabelled import UNLABELLED
from tests.client.data.scans import affine_of, picture, scan_of

TASK = Task(classes=("vessel", "airway"), labels=((1, 7), (2,)), truth="points")
SHAPE = (9, 10, 11)


def table(folder: Path, text: str) -> Path:
    (folder / "points.csv").write_text(text)
    return folder / "points.csv"


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3,1\n4,5,6,0\n8,9,10,7\n",
        "x,y,z,label\n1,2,3,1\n\n4,5,6,0\n8,9,10,7",
        "1;2;3;1\n4.0;5;6;0\n8;9;10;7\n",
    ],
)
def test_rows_become_voxels_and_classes(tmp_path: Path, text: str) -> None:
    found = points_by_class(table(tmp_path, text), SHAPE, TASK)
    np.testing.assert_array_equal(found, [[1, 2, 3, 1], [4, 5, 6, 0], [8, 9, 10, 1]])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("9,0,0,1", "outside"),
        ("0,-1,0,1", "outside"),
        ("0,0,0,3", "expected only [0, 1, 2, 7]"),
        ("0,0,0,-1", "expected only"),
        ("0,0,0,1e300", "expected only"),
        ("0,0,1", "x,y,z,label"),
        ("0,0,0.5,1", "whole numbers"),
        ("0,0,nan,1", "whole numbers"),
        ("a,b,c,d", "whole numbers"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(tmp_path: Path, row: str, words: str) -> None:
    with pytest.raises(CaseError, match="line 3") as caught:
        points_by_class(table(tmp_path, f"x,y,z,label\n1,1,1,1\n{row}\n"), SHAPE, TASK)
    assert caught.value.reason == "label_values"
    assert words in str(caught.value)


def test_tables_that_are_none_are_refused(tmp_path: Path) -> None:
    for text, reason in (("x,y,z,label\n", "empty_label"), ("", "empty_label")):
        with pytest.raises(CaseError) as caught:
            points_by_class(table(tmp_path, text), SHAPE, TASK)
        assert caught.value.reason == reason
    (tmp_path / "points.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CaseError) as caught:
        points_by_class(tmp_path / "points.csv", SHAPE, TASK)
    assert caught.value.reason == "unreadable"


def test_the_higher_class_stands_where_points_meet_and_the_rest_is_unlabelled() -> None:
    points = np.array([[2, 2, 2, 2], [3, 3, 3, 0], [2, 2, 2, 1], [8, 0, 0, 1]])
    label, outside = painted(points, np.eye(4), np.diag([2.0, 2.0, 2.0, 1.0]), (4, 4, 4), 2)
    assert label[1, 1, 1] == 2
    assert label[2, 2, 2] == 0
    assert (label == UNLABELLED).sum() == 62
    assert outside.tolist() == [1, 0]


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_each_point_marks_the_voxel_nearest_to_it_in_the_world(data: st.DataObject) -> None:
    image = picture(1, SHAPE)[0]
    row = st.tuples(*(st.integers(0, side - 1) for side in SHAPE), st.integers(0, 2))
    points = np.array(data.draw(st.lists(row, min_size=1, max_size=8)))
    spacing = data.draw(st.none() | st.tuples(*[st.sampled_from([0.7, 1.0, 1.9])] * 3))
    slices = data.draw(st.none() | st.sampled_from([4, 11, 16]))
    long_series = data.draw(st.sampled_from(["resample", "groups"]))
    affine = affine_of(1, 1.2, 0.9) @ np.diag([-1, 1, -1, 1])
    done = preprocess(
        scan_of(image, None, affine, points),
        Preprocessing(spacing_mm=spacing, slices=slices, long_series=long_series, crop_foreground=False),
        TASK,
        Model(channels=(4, 8)),
    )
    assert done.label is not None
    expected = np.full(done.label.shape, UNLABELLED)
    index = np.stack(np.meshgrid(*map(np.arange, expected.shape), indexing="ij"), -1)
    world = index @ done.affine[:3, :3].T + done.affine[:3, 3]
    for *voxel, number in sorted(points.tolist(), key=lambda one: one[3]):
        apart = np.abs(world - (affine[:3, :3] @ voxel + affine[:3, 3])) / done.spacing_mm
        nearest = np.argwhere(apart.max(axis=-1) <= 0.5 - 1e-4)  # a tie may go either way
        if len(nearest):
            expected[tuple(nearest[0])] = number
        else:
            ties = np.argwhere(apart.max(axis=-1) <= 0.5 + 1e-4)
            for tie in ties:
                expected[tuple(tie)] = done.label[tuple(tie)]
    np.testing.assert_array_equal(done.label, expected)
    assert done.reference_voxels.tolist() == [(done.label == index).sum() for index in (1, 2)]
