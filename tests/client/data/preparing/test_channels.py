from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from client.data import layouts
from client.data.layouts.base import Listed
from client.data.preparing.channels import read_channels
from shared.errors import CaseError
from shared.study import Task
from tests.client.data.layouts.trees import write_brats_nifti, write_decathlon, write_nnunet_raw, write_ucsb
from tests.client.data.scans import affine_of, picture, write_scan


def task(*channels: str) -> Task:
    return Task(classes=("head", "body"), channels=channels)


def listed(folder: Path) -> Listed:
    return layouts.find(folder, None).list_cases(folder)[0][0]


def refusal(item: Listed, *channels: str) -> CaseError:
    with pytest.raises(CaseError) as caught:
        read_channels(item, task(*channels))
    return caught.value


def test_channels_come_in_the_order_of_the_study_whatever_their_letters(tmp_path: Path) -> None:
    write_brats_nifti(tmp_path, 1)
    item = listed(tmp_path)
    read = read_channels(item, task("flair", "t1"))
    expected = picture(0)[0].astype(np.int16)
    np.testing.assert_array_equal(read.channels[0], expected + 3)
    np.testing.assert_array_equal(read.channels[1], expected)
    assert read.shape == expected.shape
    error = refusal(item, "t1", "pet")
    assert error.reason == "channel_missing"
    for word in (item.case, "pet", "t1, t1ce, t2, flair", "task.channels"):
        assert word in str(error)


def test_a_study_of_one_channel_takes_the_only_image_whatever_its_name(tmp_path: Path) -> None:
    write_decathlon(tmp_path, 1)  # calls it MRI
    np.testing.assert_array_equal(read_channels(listed(tmp_path), task("t1")).channels[0], picture(0)[0])
    assert refusal(listed(tmp_path), "t1", "t2").reason == "channel_missing"


def test_numbered_files_have_the_names_of_the_description(tmp_path: Path) -> None:
    write_nnunet_raw(tmp_path, 1)
    ct, pet = read_channels(listed(tmp_path), task("ct", "pet")).channels
    np.testing.assert_array_equal(ct + 1, pet)


def test_components_that_a_description_names_are_chosen_by_name(tmp_path: Path) -> None:
    write_decathlon(tmp_path, 1)
    image = np.stack([picture(seed)[0] for seed in range(3)], -1)
    (path,) = (tmp_path / "imagesTr").iterdir()
    nib.save(nib.Nifti1Image(image, affine_of(1, 1, 1)), path)
    description = (tmp_path / "dataset.json").read_text()
    names = '{"2": "T2", "0": "FLAIR", "1": "T1 (w)"}'
    (tmp_path / "dataset.json").write_text(description.replace('{"0": "MRI"}', names))
    item = listed(tmp_path)
    assert item.components == ("FLAIR", "T1 (w)", "T2")
    read = read_channels(item, task("t2", "t1-w"))
    for channel, number in zip(read.channels, (2, 1), strict=True):
        np.testing.assert_array_equal(channel, image[..., number])
    assert refusal(item, "t2", "adc").reason == "channel_missing"
    (tmp_path / "dataset.json").write_text(description)  # one name for three channels
    error = refusal(listed(tmp_path), "t2")
    assert error.reason == "unsupported_channels"
    assert "3 channels" in str(error)


def test_components_without_names_are_taken_in_the_order_of_the_file(tmp_path: Path) -> None:
    write_ucsb(tmp_path, 1)
    item = listed(tmp_path)
    assert len(read_channels(item, task("red", "green", "blue")).channels) == 3
    few = refusal(item, "grey")
    assert (few.reason, "holds 3 channels without names" in str(few)) == ("unsupported_channels", True)
    assert refusal(item, "red", "green", "blue", "infrared").reason == "channel_missing"


def test_channels_on_other_grids_are_refused_by_name(tmp_path: Path) -> None:
    image = picture(0)[0]
    files = {
        "a": image,
        "b": image[:-1],
        "c": image,
        "d": np.zeros_like(image),
        "e": np.stack([image] * 2, -1),
    }
    paths = {
        name: write_scan(tmp_path / f"{name}.nii", array, affine_of(1, 1, 2 if name == "c" else 1))
        for name, array in files.items()
        if name != "e"
    }
    paths["e"] = tmp_path / "e.nii"
    nib.save(nib.Nifti1Image(files["e"], affine_of(1, 1, 1)), paths["e"])
    reasons = {"b": "shape_mismatch", "c": "affine_mismatch", "d": "empty_image", "e": "unsupported_channels"}
    for other, reason in reasons.items():
        error = refusal(Listed("case-3", {"a": paths["a"], other: paths[other]}, None), "a", other)
        assert (error.reason, "case-3" in str(error)) == (reason, True)
        assert f"channel {other}" in str(error) or str(paths[other]) in str(error)
