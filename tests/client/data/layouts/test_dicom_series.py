import shutil
from collections import Counter
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID

from client.data import cache, layouts
from client.data.layouts.base import Listed, Skipped
from tests.client.data.layouts.dicom_trees import write_dicom_masks, write_dicom_seg
from tests.client.data.scans import study


def cases(folder: Path) -> tuple[list[Listed], list[Skipped]]:
    return layouts.find(folder, "dicom_series").list_cases(folder)


def changed(paths: list[Path], **values: str) -> None:
    for path in paths:
        dataset = pydicom.dcmread(path)
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)


def test_no_name_shows_a_patient_or_a_folder_called_after_one(tmp_path: Path) -> None:
    write_dicom_seg(tmp_path, 3)
    shutil.rmtree(tmp_path / "MRN-00000" / "study1" / "series")
    (tmp_path / "MRN-00000" / "MRN-00000.nii.gz").touch()
    (tmp_path / "MRN-00000" / "MRN-00000.dcm").write_text("broken")
    listed, skipped = cases(tmp_path)
    assert (len(listed), len(skipped)) == (2, 3)
    for name in [
        *(item.case for item in listed),
        *(item.patient for item in listed),
        *(s.case for s in skipped),
    ]:
        assert name is not None
        assert "MRN" not in name
        assert "Nobody" not in name


def test_a_later_scan_does_not_rename_the_patient(tmp_path: Path) -> None:
    write_dicom_seg(tmp_path, 1)
    before = cases(tmp_path)[0][0].patient
    write_dicom_seg(tmp_path / "new", 2)
    shutil.rmtree(tmp_path / "new" / "MRN-00000" / "study0")
    assert {item.patient for item in cases(tmp_path)[0]} == {before}


def test_the_same_number_of_two_issuers_is_two_patients_and_none_is_nobody(tmp_path: Path) -> None:
    write_dicom_masks(tmp_path, 3)
    changed(sorted((tmp_path / "study1").rglob("*.dcm")), IssuerOfPatientID="elsewhere")
    changed(sorted((tmp_path / "study2").rglob("*.dcm")), PatientID="")
    patients = Counter(item.patient for item in cases(tmp_path)[0])
    assert len(patients) == 3
    assert patients[None] == 1


def test_a_mask_goes_to_the_series_that_it_refers_to_or_to_none(tmp_path: Path) -> None:
    """Two phases in one frame of reference: without a reference, nobody can say which was drawn on."""
    write_dicom_masks(tmp_path, 1)
    shutil.copytree(tmp_path / "study0" / "CT", tmp_path / "study0" / "late")
    late = "1.2.826.0.1.3680043.8.498.8"
    changed(sorted((tmp_path / "study0" / "late").iterdir()), SeriesInstanceUID=late)
    listed, skipped = cases(tmp_path)
    assert listed == []
    assert Counter(skip.reason for skip in skipped) == {"label_missing": 2, "label_ambiguous": 1}
    reference = pydicom.Dataset()
    reference.SeriesInstanceUID = late
    for path in (tmp_path / "study0" / "CT mask").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.ReferencedSeriesSequence = [reference]
        dataset.save_as(path)
    listed, skipped = cases(tmp_path)
    assert [item.images["image"].name for item in listed] == ["late"]
    assert [skip.reason for skip in skipped] == ["label_missing"]


def test_two_series_in_one_folder_are_both_named(tmp_path: Path) -> None:
    write_dicom_masks(tmp_path, 2)
    for path in (tmp_path / "study1" / "CT").iterdir():
        path.rename(tmp_path / "study0" / "CT" / f"more-{path.name}")
    listed, skipped = cases(tmp_path)
    assert listed == []
    assert [skip.reason for skip in skipped] == ["several_series"] * 2


def test_what_is_no_image_is_named_and_a_table_of_contents_is_not(tmp_path: Path) -> None:
    write_dicom_seg(tmp_path, 1)
    dataset = pydicom.dcmread(tmp_path / "MRN-00000" / "study0" / "seg.dcm")
    for keyword in ("Rows", "Columns", "PixelData", "NumberOfFrames"):
        delattr(dataset, keyword)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.88.11")
    dataset.Modality, dataset.SeriesInstanceUID = "SR", "1.2.3"
    dataset.save_as(tmp_path / "report.dcm")
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.1.3.10")
    dataset.save_as(tmp_path / "DICOMDIR")
    listed, skipped = cases(tmp_path)
    assert len(listed) == 1
    assert [skip.reason for skip in skipped] == ["not_an_image"]


@pytest.mark.parametrize("write", [write_dicom_seg, write_dicom_masks])
def test_series_with_labels_are_prepared_for_training(write: object, tmp_path: Path) -> None:
    made = write(tmp_path / "data", 3)  # type: ignore[operator]
    data = cache.prepare(
        tmp_path / "data", layout=None, patients_csv=None, study=study(), cache_folder=tmp_path / "cache"
    )
    assert data.skipped == ()
    assert {case.case for case in data.cases} == set(made.cases)
    assert all(case.reference_voxels[0] > 0 for case in data.cases)


@pytest.mark.real_data
def test_the_real_archive_has_three_series_and_one_segmentation(real_data: Path) -> None:
    folder = real_data / "dicom"
    listed, skipped = layouts.find(folder, None).list_cases(folder)
    assert [item.images["image"].name for item in listed] == ["ct_3slice"]
    assert listed[0].label == folder / "ct_3slice_liver_seg.dcm"
    assert [skip.reason for skip in skipped] == ["label_missing"] * 2
    listed, _ = layouts.find(folder, None).list_cases(folder, require_label=False)
    assert len({item.patient for item in listed}) == 3
