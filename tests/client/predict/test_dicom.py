"""SEG and SR of a read series, as other programs read them."""

from pathlib import Path
from typing import Any

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK

from client.data import formats
from client.data.formats.dicom_seg import read_on, segments
from client.predict.dicom_seg import MOST_FINDINGS
from client.predict.run import Read
from client.result import NOTICE
from tests.client.data.formats.dicoms import save, slice_of, write_series
from tests.client.hospital import tiny_study
from tests.client.predict.readings import (
    AFFINES,
    STRAIGHT,
    Array,
    boxes,
    dicom_multiframe,
    dicom_series,
    model_of,
    predicted,
    scene,
)


def only(*found: Any, **options: Any) -> Read:
    done = predicted(*found, **options)
    assert not done.failed
    (one,) = done.read
    return one


def texts(report: pydicom.Dataset) -> list[str]:
    return [
        str(item.TextValue)
        for _, item in ((e.tag, i) for e in report.iterall() if e.VR == "SQ" for i in e.value)
        if item.get("ValueType") == "TEXT"
    ]


@pytest.fixture(params=AFFINES)
def affine(request: pytest.FixtureRequest) -> Array:
    return AFFINES[request.param]


def test_the_segments_are_the_findings_voxel_by_voxel(affine: Array, tmp_path: Path) -> None:
    one = only(tmp_path / "work", dicom_series(tmp_path / "series", affine))
    grid = formats.header(tmp_path / "series")
    seg = one.folder / "segmentation.dcm"
    expected = boxes() if np.allclose(grid.affine, affine, atol=1e-4) else boxes()[..., ::-1]
    np.testing.assert_array_equal(read_on(seg, formats.DEFAULT, grid=grid).array, expected)
    named = {segment.number: segment.label for segment in segments(seg, formats.DEFAULT)}
    assert named == {1: "finding 1: tumour", 2: "finding 2: tumour"}
    mask = nib.load(one.folder / "mask.nii.gz")
    np.testing.assert_array_equal(np.asarray(mask.dataobj), expected > 0)
    np.testing.assert_allclose(mask.affine, grid.affine, atol=1e-4)


def test_highdicom_finds_each_slice_by_its_source(affine: Array, tmp_path: Path) -> None:
    one = only(tmp_path / "work", dicom_series(tmp_path / "series", affine))
    seg = hd.seg.segread(one.folder / "segmentation.dcm")
    uids = [slice_of(scene(), affine, index).SOPInstanceUID for index in range(10)]
    planes = seg.get_pixels_by_source_instance(
        uids, combine_segments=True, assert_missing_frames_are_empty=True, ignore_spatial_locations=True
    )
    np.testing.assert_array_equal(planes.transpose(2, 1, 0), boxes())


def test_simpleitk_puts_mask_and_series_at_one_place(affine: Array, tmp_path: Path) -> None:
    folder = dicom_series(tmp_path / "series", affine)
    one = only(tmp_path / "work", folder)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    if any("tilted gantry" in text for text in one.result.warnings):
        with pytest.raises(RuntimeError, match="orthonormal"):  # ITK has no such grid, and the result says so
            SimpleITK.ReadImage(str(one.folder / "mask.nii.gz"))
        return
    series, mask = reader.Execute(), SimpleITK.ReadImage(str(one.folder / "mask.nii.gz"))
    assert mask.GetSize() == series.GetSize()
    on_series = SimpleITK.Resample(mask, series, SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor)
    np.testing.assert_array_equal(
        SimpleITK.GetArrayFromImage(on_series) > 0, SimpleITK.GetArrayFromImage(series) > 200
    )


def test_a_multiframe_image_has_a_seg_and_an_sr_too(tmp_path: Path) -> None:
    path = dicom_multiframe(tmp_path / "scan" / "one.dcm", STRAIGHT)
    one = only(tmp_path / "work", path)
    assert not one.result.warnings
    found = read_on(one.folder / "segmentation.dcm", formats.DEFAULT, grid=formats.header(path)).array
    np.testing.assert_array_equal(found, boxes())
    seg = hd.seg.segread(one.folder / "segmentation.dcm")
    # The frames of the file run from the last slice to the first.
    planes = seg.get_pixels_by_source_frame(
        pydicom.dcmread(path).SOPInstanceUID,
        range(1, 11),
        combine_segments=True,
        assert_missing_frames_are_empty=True,
        ignore_spatial_locations=True,
    )
    np.testing.assert_array_equal(planes[::-1].transpose(2, 1, 0), boxes())


def test_the_report_measures_each_finding_and_refers_to_its_segment(tmp_path: Path) -> None:
    one = only(tmp_path / "work", dicom_series(tmp_path / "series", STRAIGHT), history={"age": "70"})
    seg = pydicom.dcmread(one.folder / "segmentation.dcm")
    report = hd.sr.srread(one.folder / "report.dcm")
    assert isinstance(report, hd.sr.Comprehensive3DSR)
    content = report.content
    assert isinstance(content, hd.sr.MeasurementReport)
    groups = content.get_volumetric_roi_measurement_groups()
    assert [group.referenced_segment.referenced_segment_numbers for group in groups] == [[1], [2]] or [
        group.referenced_segment[0].ReferencedSOPSequence[0].ReferencedSegmentNumber for group in groups
    ] == [1, 2]
    for group, finding, described in zip(groups, one.result.findings, seg.SegmentSequence, strict=True):
        values = {m.name.meaning: m.value for m in group.get_measurements()}
        assert values["Volume"] == pytest.approx(finding.volume_ml, abs=1e-3)
        assert values["Long Axis"] == pytest.approx(finding.diameter_mm, abs=0.01)
        assert values["Short Axis"] == pytest.approx(finding.short_axis_mm, abs=0.01)
        assert values["Mean probability of its voxels"] == pytest.approx(
            100 * finding.mean_probability, abs=0.01
        )
        assert group.tracking_uid == described.TrackingUID
        assert group.tracking_identifier == described.SegmentLabel
        assert group.finding_type.meaning == "Neoplasm"
    (whole,) = content.get_image_measurement_groups()
    priority = one.result.priority
    assert priority is not None
    values = {m.name.meaning: m.value for m in whole.get_measurements()}
    assert values["Calibrated probability of being urgent"] == pytest.approx(
        100 * priority.probability, abs=1e-3
    )
    (evaluation,) = [e for e in whole.get_qualitative_evaluations() if e.name.value == "priority"]
    assert evaluation.value.value == priority.tier
    said = texts(report)
    assert NOTICE in said
    assert {f"because {reason.text}" for reason in priority.reasons} <= set(said)
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert report.CompletionFlag == "COMPLETE"


def test_both_belong_to_the_patient_and_study_of_the_series_and_to_no_other(tmp_path: Path) -> None:
    folder = dicom_series(tmp_path / "series", STRAIGHT)
    one = only(tmp_path / "work", folder)
    source = pydicom.dcmread(next(folder.iterdir()))
    for name in ("segmentation.dcm", "report.dcm"):
        made = pydicom.dcmread(one.folder / name)
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID"):
            assert made[keyword].value == source[keyword].value
        assert made.SeriesInstanceUID != source.SeriesInstanceUID
        assert NOTICE in made.SeriesDescription
    references = pydicom.dcmread(one.folder / "segmentation.dcm").ReferencedSeriesSequence
    assert [item.SeriesInstanceUID for item in references] == [source.SeriesInstanceUID]


def test_made_again_they_are_the_same_objects(tmp_path: Path) -> None:
    folder = dicom_series(tmp_path / "series", STRAIGHT)
    uids = [
        pydicom.dcmread(only(tmp_path / "work", folder, force=True).folder / name).SOPInstanceUID
        for name in ("segmentation.dcm", "report.dcm") * 2
    ]
    assert uids[:2] == uids[2:]
    assert len(set(uids)) == 2


def test_a_scan_without_a_finding_has_a_report_and_no_segmentation(tmp_path: Path) -> None:
    flat = np.random.default_rng(1).normal(100, 5, (20, 24, 10)).astype(np.int16)
    write_series(tmp_path / "series", flat, STRAIGHT)
    strict = tiny_study(
        preprocessing={"crop_foreground": True}, task={"classes": ["tumour"], "minimum_finding_ml": 1.0}
    )
    one = only(tmp_path / "work", tmp_path / "series", model=model_of(strict))
    assert one.result.findings == ()
    assert set(one.result.files) == {"mask", "page", "probability", "report", "source"}
    assert not (one.folder / "segmentation.dcm").exists()
    report = hd.sr.srread(one.folder / "report.dcm")
    assert report.content.get_volumetric_roi_measurement_groups() == []


def test_headers_that_no_seg_can_refer_to_are_a_warning_and_end_nothing(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    for index in range(4):
        dataset = slice_of(scene(), STRAIGHT, index)
        del dataset.FrameOfReferenceUID
        save(dataset, tmp_path / "series" / f"{index}.dcm")
    one = only(tmp_path / "work", tmp_path / "series")
    assert set(one.result.files) == {"attribution", "mask", "page", "probability", "source"}
    assert any("no DICOM SEG and SR" in text for text in one.result.warnings)
    assert sorted(path.name for path in one.folder.iterdir()) == [
        "attribution.nii.gz",
        "mask.nii.gz",
        "page.html",
        "probability.nii.gz",
        "result.json",
        "source.json",
    ]


def test_attributes_that_dicom_asks_for_and_an_archive_dropped_are_left_empty(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    for index in range(4):
        dataset = slice_of(scene(), STRAIGHT, index)
        for keyword in ("StudyID", "AccessionNumber", "PatientBirthDate", "StudyTime"):
            del dataset[keyword]
        dataset.PatientSex = "X"
        save(dataset, tmp_path / "series" / f"{index}.dcm")
    one = only(tmp_path / "work", tmp_path / "series")
    assert not one.result.warnings
    assert pydicom.dcmread(one.folder / "report.dcm").PatientSex == ""


def test_only_the_largest_of_many_findings_have_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.predict.dicom_seg.MOST_FINDINGS", 1)
    one = only(tmp_path / "work", dicom_series(tmp_path / "series", STRAIGHT))
    assert len(one.result.findings) == 2
    assert [s.number for s in segments(one.folder / "segmentation.dcm", formats.DEFAULT)] == [1]
    assert any("the largest 1 of 2" in text for text in one.result.warnings)


@pytest.mark.parametrize(
    ("characters", "name"),
    [("", "Smith^Jane"), ("ISO_IR 100", "Müller^Jörg"), (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎")],
)
def test_a_name_in_any_alphabet_is_the_same_name(
    characters: str | list[str], name: str, tmp_path: Path
) -> None:
    (tmp_path / "series").mkdir()
    for index in range(4):
        dataset = slice_of(scene(), STRAIGHT, index)
        dataset.SpecificCharacterSet, dataset.PatientName = characters, name
        save(dataset, tmp_path / "series" / f"{index}.dcm")
    one = only(tmp_path / "work", tmp_path / "series")
    assert not one.result.warnings
    for file in ("segmentation.dcm", "report.dcm"):
        assert str(pydicom.dcmread(one.folder / file).PatientName) == name


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name", ["ct_3slice", "mr_hippocrop/Study1/13_HCropVolume", "mr_hippocrop/Study2/14_HCropVolume"]
)
def test_real_series_come_back_to_the_voxel(name: str, real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "dicom" / name
    one = only(tmp_path / "work", folder)
    mask = np.asarray(nib.load(one.folder / "mask.nii.gz").dataobj)
    volume = formats.read(folder)
    assert mask.shape == volume.shape
    assert one.result.findings
    seg = read_on(one.folder / "segmentation.dcm", formats.DEFAULT, grid=volume).array
    shown = min(len(one.result.findings), MOST_FINDINGS)
    assert seg.max() == shown
    if shown == len(one.result.findings):
        np.testing.assert_array_equal(seg > 0, mask > 0)
    other = SimpleITK.ReadImage(str(one.folder / "segmentation.dcm"))
    # 255 is a set bit; of a last byte that the frames do not fill, GDCM shows the raw number.
    assert int((SimpleITK.GetArrayFromImage(other) == 255).sum()) == int((seg > 0).sum())
    assert isinstance(hd.sr.srread(one.folder / "report.dcm"), hd.sr.Comprehensive3DSR)
